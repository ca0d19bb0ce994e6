"""What a user's representation depends on, as digests: the way of reading, and what is read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from illmrec.data.histories import Indices
from illmrec.models.passes import UserReader

if TYPE_CHECKING:
    from illmrec.models.recommender import Recommender

_BYTES = 16


def digest_way(reader: UserReader, facts: dict[str, Any]) -> str:
    """Return a digest of everything but the history that decides a representation, down to its last bits.

    Args:
        reader: the model, ready to read.
        facts: digests of the trained tensors and settings, the language model's revision, the number format.
    """
    import torch
    import transformers

    model = reader.recommender
    prompt, device = model.prompt, model.backbone.device
    about = facts | {
        "head": prompt.head.tolist(),
        "instruction": prompt.instruction.tolist(),
        "slots": prompt.slots,
        "shares_prefix": model.shares_prefix,
        "narrows": model.backbone.narrows,
        "pass_tokens": reader.pass_tokens if reader.shares_passes else 1,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        # Sums are cut into as many pieces as there are threads.
        "threads": torch.get_num_threads(),
        "versions": [torch.__version__, transformers.__version__],
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def digest_items(model: Recommender, items: Indices) -> dict[int, bytes]:
    """Return, for some items, a digest of their words in the prompt and of the features in their slots."""
    prompt = model.prompt
    digests = {}
    for item in np.unique(items).tolist():
        content = hashlib.blake2b(digest_size=_BYTES)
        content.update(np.ascontiguousarray(prompt.items[item], dtype="<i4").tobytes())
        start = int(prompt.slot_starts[item])
        content.update(start.to_bytes(4, "little", signed=True))
        if start >= 0:
            for kind in model.slot_kinds:
                content.update(np.ascontiguousarray(model.features[kind].values[item], dtype="<f2").tobytes())
        digests[item] = content.digest()
    return digests


def digest_histories(model: Recommender, shown: Sequence[Indices]) -> list[bytes]:
    """Return a digest of each history, already cut to what is shown.

    It names contents, not indices: a title or picture that changes changes the digests of the item's readers and of
    nobody else.
    """
    items = digest_items(model, np.concatenate(shown) if len(shown) else np.zeros(0, dtype=np.int32))
    return [
        hashlib.blake2b(b"".join(items[item] for item in history.tolist()), digest_size=_BYTES).digest()
        for history in shown
    ]
