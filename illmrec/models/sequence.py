"""What models that read a history item by item share: padding, and reading histories of similar lengths together.

Item index i is row i + 1 of such a model's embedding table and row 0 is padding; nobody outside these models and their
training sees that. Histories are padded on the left, so that the last column is the most recent item of every user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.histories import Indices, Ragged, pack_rows

Histories = Sequence[Indices] | Ragged


def pad_left(histories: Histories, max_length: int) -> Tensor:
    """Return ``int64 [B, max_length]``: item index + 1 of the most recent items, 0 before them."""
    rows = histories if isinstance(histories, Ragged) else pack_rows(histories)
    padded = np.zeros((len(rows), max_length), dtype=np.int64)
    lengths = rows.lengths
    owners = np.repeat(np.arange(len(rows)), lengths)
    # Counted from the right end, so that the last item of every row stands in the last column.
    columns = max_length - np.repeat(rows.offsets[1:], lengths) + np.arange(len(rows.values))
    recent = columns >= 0
    padded[owners[recent], columns[recent]] = rows.values[recent].astype(np.int64) + 1
    return torch.from_numpy(padded)


@torch.inference_mode()
def read_histories(
    encode: Callable[[Tensor], Tensor], histories: Histories, max_length: int, batch_size: int, device: torch.device
) -> npt.NDArray[np.float32]:
    """Return ``float32 [n, width]``: what ``encode`` makes of each history.

    Histories of similar lengths are read together, so that little of a batch is padding.

    Args:
        encode: turns ``int64 [B, T]`` of :func:`pad_left`, T at most ``max_length``, into ``float32 [B, width]``.
        histories: item indices, oldest first; may be empty.
        max_length: most recent items read.
        batch_size: histories read together.
        device: where ``encode`` works.
    """
    rows = histories if isinstance(histories, Ragged) else pack_rows(histories)
    lengths = np.clip(rows.lengths, 1, max_length)
    order = np.argsort(lengths, kind="stable")
    parts = [
        encode(pad_left(rows.take(chosen), int(lengths[chosen[-1]])).to(device))
        for chosen in (order[start : start + batch_size] for start in range(0, len(order), batch_size))
    ]
    read = torch.cat(parts).cpu().numpy()
    restored = np.empty_like(read)
    restored[order] = read
    return restored
