"""Prompts of several users as tensors.

Retrieval and alignment ask about the same history, so a user's prompt holds it once: the shared prefix, then the
retrieval branch and, in training, the alignment branch. A branch sees the prefix and itself, never the other branch,
and its positions continue from the prefix; the result equals two separate prompts (paper, 3.2 and 3.3).

In training several users share a row, so that little is spent on padding; none sees another. At inference each user
has a row, and batches hold users with prompts of similar length.
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

SHARED, RETRIEVAL, ALIGNMENT = 0, 1, 2
PADDING = -1


@dataclass(frozen=True)
class PromptBatch:
    """Rows of prompts; "place" means an index into the flattened ``[R * T]`` grid.

    Args:
        token_ids: ``int64 [R, T]``, :data:`illmrec.models.prompt.SLOT` under slots and padding.
        positions: ``int64 [R, T]``: position ids; every user starts at 0, both branches continue from the prefix.
        users: ``int32 [R, T]``: which user of the batch a token belongs to, or :data:`PADDING`.
        branches: ``int8 [R, T]``: shared, retrieval or alignment.
        image_places: ``int64 [M]``: image slots.
        image_items: ``int64 [M]``: item_index whose image feature goes there.
        rec_places: ``int64 [B]``: each user's [REC] slot.
        answer_places: ``int64 [A]``: places whose next token belongs to an answer.
        answer_tokens: ``int64 [A]``: those next tokens.
        needs_mask: False where plain causal attention does: one user a row and no second branch.
    """

    token_ids: Tensor
    positions: Tensor
    users: Tensor
    branches: Tensor
    image_places: Tensor
    image_items: Tensor
    rec_places: Tensor
    answer_places: Tensor
    answer_tokens: Tensor
    needs_mask: bool

    def attention_mask(self) -> Tensor:
        """Return ``bool [R, 1, T, T]``: True where the query (third axis) sees the key (fourth axis)."""
        size = self.branches.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=self.branches.device).tril()
        same_user = self.users[:, :, None] == self.users[:, None, :]
        query, key = self.branches[:, :, None], self.branches[:, None, :]
        return (causal & same_user & ((key == SHARED) | (key == query)))[:, None]

    def to(self, device: str | torch.device) -> PromptBatch:
        """Return the batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return PromptBatch(**moved, needs_mask=self.needs_mask)


@dataclass
class _Prompt:
    """One user's prompt; places count from its own first token."""

    tokens: npt.NDArray[np.int32]
    branches: npt.NDArray[np.int8]
    positions: npt.NDArray[np.int64]
    image_places: npt.NDArray[np.int64]
    image_items: Indices
    rec_place: int
    answer_places: npt.NDArray[np.int64]


def build_batch(
    prompt: PromptTokens,
    histories: Sequence[Indices],
    questions: Sequence[tuple[int, int] | None] | None = None,
) -> PromptBatch:
    """Put prompts together.

    Args:
        prompt: tokenized texts of the catalog.
        histories: per user the item indices, oldest first.
        questions: per user the alignment template and the target item, or None where the target has no property to ask
            for; None altogether at inference, where users are not packed into shared rows.
    """
    asked = questions if questions is not None else [None] * len(histories)
    prompts = [_write_prompt(prompt, history, question) for history, question in zip(histories, asked, strict=True)]
    lengths = [len(written.tokens) for written in prompts]
    one_each = list(range(len(prompts))), [0] * len(prompts)
    rows, starts = one_each if questions is None else _fill_rows(lengths)
    size = max(lengths)
    shape = (max(rows) + 1, size)
    token_ids = np.full(shape, SLOT, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    users = np.full(shape, PADDING, dtype=np.int32)
    branches = np.zeros(shape, dtype=np.int8)
    offsets = [row * size + start for row, start in zip(rows, starts, strict=True)]
    for number, written in enumerate(prompts):
        span = slice(offsets[number], offsets[number] + lengths[number])
        token_ids.reshape(-1)[span] = written.tokens
        positions.reshape(-1)[span] = written.positions
        users.reshape(-1)[span] = number
        branches.reshape(-1)[span] = written.branches
    placed = list(zip(prompts, offsets, strict=True))
    answer_places = np.concatenate([written.answer_places + offset for written, offset in placed])
    return PromptBatch(
        token_ids=torch.from_numpy(token_ids),
        positions=torch.from_numpy(positions),
        users=torch.from_numpy(users),
        branches=torch.from_numpy(branches),
        image_places=torch.from_numpy(np.concatenate([written.image_places + offset for written, offset in placed])),
        image_items=torch.from_numpy(np.concatenate([written.image_items for written in prompts]).astype(np.int64)),
        rec_places=torch.tensor([written.rec_place + offset for written, offset in placed]),
        answer_places=torch.from_numpy(answer_places - 1),
        answer_tokens=torch.from_numpy(token_ids.reshape(-1)[answer_places]),
        needs_mask=questions is not None,
    )


def _fill_rows(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return each prompt's row and start: longest first, each into the fullest row that still has room."""
    capacity = max(lengths)
    used: list[int] = []
    rows, starts = [0] * len(lengths), [0] * len(lengths)
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        fitting = [row for row, taken in enumerate(used) if taken + lengths[number] <= capacity]
        row = max(fitting, key=lambda r: used[r]) if fitting else len(used)
        if not fitting:
            used.append(0)
        rows[number], starts[number] = row, used[row]
        used[row] += lengths[number]
    return rows, starts


def _write_prompt(prompt: PromptTokens, history: Indices, question: tuple[int, int] | None) -> _Prompt:
    segments = [prompt.head, *(prompt.items[int(item)] for item in history)]
    ends = np.cumsum([len(segment) for segment in segments])
    slots = prompt.image_slots[history]
    shown = slots != NO_SLOT
    prefix = int(ends[-1])
    parts = [*segments, prompt.instruction, np.array([SLOT], dtype=np.int32)]
    retrieval, alignment, answer_length = len(prompt.instruction) + 1, 0, 0
    if question is not None:
        template, target = question
        answer = prompt.write_answer(template, target)
        parts += [prompt.questions[template], answer]
        alignment, answer_length = len(prompt.questions[template]) + len(answer), len(answer)
    total = prefix + retrieval + alignment
    return _Prompt(
        tokens=np.concatenate(parts),
        branches=np.repeat(np.array([SHARED, RETRIEVAL, ALIGNMENT], dtype=np.int8), (prefix, retrieval, alignment)),
        positions=np.concatenate([np.arange(prefix + retrieval), prefix + np.arange(alignment)]),
        image_places=(ends[:-1] + slots)[shown],
        image_items=np.asarray(history)[shown],
        rec_place=prefix + retrieval - 1,
        answer_places=np.arange(total - answer_length, total),
    )
