"""Prompts of several users as tensors.

Retrieval and alignment ask about the same history, so one row holds it once: the shared prefix, then the retrieval
branch and, in training, the alignment branch. A branch sees the prefix and itself, never the other branch, and its
positions continue from the prefix; the result equals two separate prompts (paper, 3.2 and 3.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.histories import Indices
from illmrec.models.prompt import NO_SLOT, SLOT, PromptTokens

SHARED, RETRIEVAL, ALIGNMENT, PADDING = 0, 1, 2, 3


@dataclass(frozen=True)
class PromptBatch:
    """Rows of prompts; "place" means an index into the flattened ``[B * T]`` grid.

    Args:
        token_ids: ``int64 [B, T]``, :data:`illmrec.models.prompt.SLOT` under slots and padding.
        positions: ``int64 [B, T]``: position ids; both branches continue from the shared prefix.
        branches: ``int8 [B, T]``: shared, retrieval, alignment or padding (rows are padded on the right).
        image_places: ``int64 [M]``: image slots.
        image_items: ``int64 [M]``: item_index whose image feature goes there.
        rec_places: ``int64 [B]``: the [REC] slot of each row.
        answer_places: ``int64 [A]``: places whose next token belongs to an answer.
        answer_tokens: ``int64 [A]``: those next tokens.
    """

    token_ids: Tensor
    positions: Tensor
    branches: Tensor
    image_places: Tensor
    image_items: Tensor
    rec_places: Tensor
    answer_places: Tensor
    answer_tokens: Tensor

    @property
    def has_alignment(self) -> bool:
        """Whether any row carries an alignment branch."""
        return len(self.answer_places) > 0

    def attention_mask(self) -> Tensor:
        """Return ``bool [B, 1, T, T]``: True where the query (third axis) sees the key (fourth axis)."""
        size = self.branches.shape[1]
        query, key = self.branches[:, :, None], self.branches[:, None, :]
        causal = torch.ones(size, size, dtype=torch.bool, device=self.branches.device).tril()
        return (causal & ((key == SHARED) | (key == query)))[:, None]

    def to(self, device: str | torch.device) -> PromptBatch:
        """Return the batch on another device."""
        return PromptBatch(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass
class _Row:
    tokens: npt.NDArray[np.int32]
    branches: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64]
    image_places: npt.NDArray[np.int64]
    image_items: Indices
    rec_place: int
    answer_start: int


def build_batch(
    prompt: PromptTokens,
    histories: Sequence[Indices],
    questions: Sequence[tuple[int, int] | None] | None = None,
) -> PromptBatch:
    """Put prompts together.

    Args:
        prompt: tokenized texts of the catalog.
        histories: per row the item indices, oldest first.
        questions: per row the alignment template and the target item, or None where the target has no property to ask
            for; None altogether at inference.
    """
    asked = questions if questions is not None else [None] * len(histories)
    rows = [_write_row(prompt, history, question) for history, question in zip(histories, asked, strict=True)]
    size = max(len(row.tokens) for row in rows)
    shape = (len(rows), size)
    token_ids = np.full(shape, SLOT, dtype=np.int64)
    branches = np.full(shape, PADDING, dtype=np.int8)
    positions = np.zeros(shape, dtype=np.int64)
    for number, row in enumerate(rows):
        length = len(row.tokens)
        token_ids[number, :length] = row.tokens
        branches[number, :length] = row.branches
        positions[number, :length] = row.positions
    answers = [
        np.arange(row.answer_start, len(row.tokens)) + number * size
        for number, row in enumerate(rows)
        if row.answer_start
    ]
    answer_places = np.concatenate(answers) if answers else np.zeros(0, dtype=np.int64)
    return PromptBatch(
        token_ids=torch.from_numpy(token_ids),
        positions=torch.from_numpy(positions),
        branches=torch.from_numpy(branches),
        image_places=torch.from_numpy(np.concatenate([r.image_places + n * size for n, r in enumerate(rows)])),
        image_items=torch.from_numpy(np.concatenate([r.image_items for r in rows]).astype(np.int64)),
        rec_places=torch.tensor([r.rec_place + n * size for n, r in enumerate(rows)]),
        answer_places=torch.from_numpy(answer_places - 1),
        answer_tokens=torch.from_numpy(token_ids.reshape(-1)[answer_places]),
    )


def _write_row(prompt: PromptTokens, history: Indices, question: tuple[int, int] | None) -> _Row:
    segments = [prompt.head, *(prompt.items[int(item)] for item in history)]
    starts = np.cumsum([len(segment) for segment in segments])
    slots = prompt.image_slots[history]
    shown = slots != NO_SLOT
    prefix_length = int(starts[-1])
    parts = [*segments, prompt.instruction, np.array([SLOT], dtype=np.int32)]
    retrieval_length = len(prompt.instruction) + 1
    alignment_length, answer_start = 0, 0
    if question is not None:
        template, target = question
        answer = prompt.write_answer(template, target)
        parts += [prompt.questions[template], answer]
        alignment_length = len(prompt.questions[template]) + len(answer)
        answer_start = prefix_length + retrieval_length + len(prompt.questions[template])
    lengths = (prefix_length, retrieval_length, alignment_length)
    return _Row(
        tokens=np.concatenate(parts),
        branches=np.repeat(np.array([SHARED, RETRIEVAL, ALIGNMENT], dtype=np.int8), lengths),
        positions=np.concatenate(
            [np.arange(prefix_length + retrieval_length), prefix_length + np.arange(alignment_length)]
        ),
        image_places=(starts[:-1] + slots)[shown],
        image_items=np.asarray(history)[shown],
        rec_place=prefix_length + retrieval_length - 1,
        answer_start=answer_start,
    )
