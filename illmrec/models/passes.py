"""Reading users in forward passes whose shape depends on the user alone, so that the result's last bits do too.

What a matrix product rounds depends on the shape of the whole matrix: a user who is read together with others gets
slightly other numbers than alone (by about 1e-6), and a night that reads ten users would differ from one that reads
all.
Here a prompt's length decides the shape of its pass: rows of a fixed length, a fixed number of them, one user a row;
places without a user repeat one. Then numbers are the same whoever else is read, which is tried out when a model is
loaded; where it does not hold, every user is a pass of his own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.histories import Indices
from illmrec.models.batch import PADDING, PromptBatch, build_inference_batch
from illmrec.models.prompt import SLOT

if TYPE_CHECKING:
    from illmrec.models.recommender import Recommender

STEP = 16
"""Rows of a shared pass are as long as the next multiple of so many tokens."""

PROCESSOR_TOKENS = 256
"""Tokens of a pass on a processor. Before a matrix product the weights are put into the order that it likes, once a
pass, which weighs where prompts are short. More would make a night that reads few users dearer: a pass has all its
rows, with a user in them or not."""

GPU_TOKENS = 16_384
"""Tokens of a pass on a GPU."""

BATCH_USERS = 16
"""Users that are handed over, read and kept together, at least."""


class UserReader:
    """Represents users by a recommender's language model.

    Args:
        recommender: the model.
        pass_tokens: tokens of a pass; None for what suits the device.

    Attributes:
        shares_passes: whether users may share a pass; tried out here.
    """

    def __init__(self, recommender: Recommender, pass_tokens: int | None = None) -> None:
        self.recommender = recommender
        suits = PROCESSOR_TOKENS if recommender.backbone.device.type == "cpu" else GPU_TOKENS
        self.pass_tokens = pass_tokens or suits
        self.shares_passes = True
        recommender.switch_training(on=False)
        self.shares_passes = self._try_sharing()

    def plan(self, histories: Sequence[Indices]) -> list[npt.NDArray[np.int64]]:
        """Return rows of ``histories`` (cut ones) in batches of whole passes, longest first."""
        lengths = self._measure(histories)
        shapes = np.array([self._shape(int(length)) for length in lengths], dtype=np.int64).reshape(-1, 2)
        batches = []
        for size, rows in sorted({(int(size), int(rows)) for size, rows in shapes}, reverse=True):
            mine = np.flatnonzero((shapes == (size, rows)).all(axis=1))
            if rows == 1:
                continue
            step = rows * max(1, -(-BATCH_USERS // rows))
            batches += [mine[start : start + step] for start in range(0, len(mine), step)]
        alone = np.flatnonzero(shapes[:, 1] == 1)
        alone = alone[np.argsort(-lengths[alone], kind="stable")]
        return [alone[start : start + BATCH_USERS] for start in range(0, len(alone), BATCH_USERS)] + batches

    @torch.inference_mode()
    def read(self, histories: Sequence[Indices]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, d_llm]``: h_u of each history, already cut to what is shown; any lengths, any order."""
        result = np.zeros((len(histories), self.recommender.backbone.width), dtype=np.float32)
        shapes = [self._shape(int(length)) for length in self._measure(histories)]
        for size, rows in sorted(set(shapes)):
            mine = [number for number, shape in enumerate(shapes) if shape == (size, rows)]
            for start in range(0, len(mine), rows):
                chunk = mine[start : start + rows]
                result[chunk] = self._run([histories[number] for number in chunk], size, rows)
        return result

    def _run(self, histories: Sequence[Indices], size: int, rows: int) -> npt.NDArray[np.float32]:
        model = self.recommender
        with_head = not model.shares_prefix
        batches = [
            build_inference_batch(model.prompt, [history], with_head=with_head, width=model.backbone.width)
            for history in histories
        ]
        filled = batches + [batches[0]] * (rows - len(batches))
        users = model.encode(filled[0] if rows == 1 else stack_batches(filled, size)).users
        return np.asarray(users[: len(histories)].cpu().numpy())

    def _shape(self, length: int) -> tuple[int, int]:
        """Return the tokens of a row and the rows of the pass that a prompt of ``length`` tokens goes through."""
        size = -(-length // STEP) * STEP
        rows = self.pass_tokens // size if self.shares_passes else 1
        return (size, rows) if rows > 1 else (length, 1)

    def _measure(self, histories: Sequence[Indices]) -> npt.NDArray[np.int64]:
        """Return ``int64 [n]``: tokens in the row of each history."""
        prompt = self.recommender.prompt
        constant = len(prompt.instruction) + 1 + (0 if self.recommender.shares_prefix else len(prompt.head))
        items = prompt.items.lengths
        return np.array([int(items[history].sum()) + constant for history in histories], dtype=np.int64)

    def _try_sharing(self) -> bool:
        """Return whether a user's numbers stay when the others of the pass and his place among them change."""
        lengths = self.recommender.prompt.items.lengths
        order = np.argsort(lengths, kind="stable").astype(np.int32)
        one = order[len(order) // 2 :][:1]
        size, rows = self._shape(int(self._measure([one])[0]))
        if rows == 1:
            return True
        others = [order[:1] for _ in range(rows - 1)]
        with torch.inference_mode():
            first = self._run([one, *others], size, rows)[0]
            last = self._run([*others[::-1], one], size, rows)[-1]
            alone = self._run([one], size, rows)[0]
        return bool((first == last).all() and (first == alone).all())


def stack_batches(batches: Sequence[PromptBatch], size: int) -> PromptBatch:
    """Return one batch of prompts that were each put together alone, a row each, padded to ``size`` tokens.

    Args:
        batches: each of one row with one [REC] and no answers.
        size: tokens of a row, at least those of the longest.
    """

    def pad(name: str, fill: int) -> Tensor:
        values: list[Tensor] = [getattr(batch, name) for batch in batches]
        return torch.cat([torch.nn.functional.pad(one, (0, size - one.shape[1]), value=fill) for one in values])

    def shift(name: str) -> Tensor:
        return torch.cat([getattr(batch, name) + row * size for row, batch in enumerate(batches)])

    return dataclasses.replace(
        batches[0],
        token_ids=pad("token_ids", SLOT),
        positions=pad("positions", 0),
        users=pad("users", PADDING),
        branches=pad("branches", 0),
        leaves_at=pad("leaves_at", 0),
        slot_places=shift("slot_places"),
        slot_items=torch.cat([batch.slot_items for batch in batches]),
        rec_places=shift("rec_places"),
        queries=torch.cat([batch.queries for batch in batches]),
        rec_queries=torch.arange(len(batches)),
    )
