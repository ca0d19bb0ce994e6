"""Prompts of several users as tensors.

A user's prompt is a tree. Its trunk is the task and the history; every question about the history is a branch that
leaves the trunk after some number of items, sees the trunk up to there and itself, and nothing else. Retrieval and
alignment ask about one history, so it is read once for both (paper, 3.2 and 3.3); and a history of L items can be asked
for its next item after every one of them, which reads it once instead of L times. Positions continue from where a
branch leaves the trunk, so the result equals separate prompts.

In training several users share a row, so that little is spent on padding; none sees another. At inference each user
has a row with one branch, plain causal attention does, and batches hold users with prompts of similar length.
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

TRUNK = 0
PADDING = -1


@dataclass(frozen=True)
class Request:
    """What to ask about one user's history.

    Args:
        history: item indices, oldest first.
        depths: retrieval branches: after how many items of the history each of them leaves the trunk.
        question: alignment template and target item, asked after the whole history; None for no question.
    """

    history: Indices
    depths: Sequence[int]
    question: tuple[int, int] | None = None


@dataclass(frozen=True)
class PromptBatch:
    """Rows of prompts; "place" means an index into the flattened ``[R * T]`` grid.

    Args:
        token_ids: ``int64 [R, T]``, :data:`illmrec.models.prompt.SLOT` under slots and padding.
        positions: ``int64 [R, T]``: position ids.
        users: ``int32 [R, T]``: which user of the batch a token belongs to, or :data:`PADDING`.
        branches: ``int16 [R, T]``: number of the branch within its user, or :data:`TRUNK`.
        leaves_at: ``int32 [R, T]``: for tokens of a branch, how many trunk tokens they see.
        image_places: ``int64 [M]``: image slots.
        image_items: ``int64 [M]``: item_index whose image feature goes there.
        rec_places: ``int64 [Q]``: the [REC] slot of each retrieval branch, by user and then by depth.
        answer_places: ``int64 [A]``: places whose next token belongs to an answer.
        answer_tokens: ``int64 [A]``: those next tokens.
        needs_mask: False where plain causal attention does: one user a row and one branch.
    """

    token_ids: Tensor
    positions: Tensor
    users: Tensor
    branches: Tensor
    leaves_at: Tensor
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
        own_branch = self.branches[:, :, None] == self.branches[:, None, :]
        # Trunk tokens stand in order, so a trunk key's position is its number in the trunk.
        on_trunk = (self.branches == TRUNK)[:, None, :] & (self.positions[:, None, :] < self.leaves_at[:, :, None])
        return (causal & same_user & (own_branch | on_trunk))[:, None]

    def to(self, device: str | torch.device) -> PromptBatch:
        """Return the batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return PromptBatch(**moved, needs_mask=self.needs_mask)


@dataclass(frozen=True)
class _Prompt:
    """One user's prompt; places count from its own first token."""

    tokens: Indices
    positions: npt.NDArray[np.int64]
    branches: npt.NDArray[np.int16]
    leaves_at: Indices
    image_places: npt.NDArray[np.int64]
    image_items: Indices
    rec_places: npt.NDArray[np.int64]
    answer_places: npt.NDArray[np.int64]


def build_inference_batch(prompt: PromptTokens, histories: Sequence[Indices]) -> PromptBatch:
    """Put prompts together that each ask once, after the whole history; one user a row."""
    written = [_write_prompt(prompt, Request(history, [len(history)])) for history in histories]
    return _lay_out(written, list(range(len(written))), [0] * len(written), needs_mask=False)


def build_training_batch(prompt: PromptTokens, requests: Sequence[Request]) -> PromptBatch:
    """Put prompts together with any number of branches, several users a row."""
    written = [_write_prompt(prompt, request) for request in requests]
    rows, starts = _fill_rows([len(one.tokens) for one in written])
    return _lay_out(written, rows, starts, needs_mask=True)


def _lay_out(prompts: list[_Prompt], rows: list[int], starts: list[int], *, needs_mask: bool) -> PromptBatch:
    lengths = [len(one.tokens) for one in prompts]
    size = max(start + length for start, length in zip(starts, lengths, strict=True))
    offsets = [row * size + start for row, start in zip(rows, starts, strict=True)]
    cells = (max(rows) + 1) * size
    places = np.concatenate([np.arange(length) + offset for length, offset in zip(lengths, offsets, strict=True)])

    def spread(parts: list[npt.NDArray[np.generic]], fill: int, dtype: type[np.generic]) -> Tensor:
        grid = np.full(cells, fill, dtype=dtype)
        grid[places] = np.concatenate(parts)
        return torch.from_numpy(grid.reshape(-1, size))

    def shift(parts: list[npt.NDArray[np.int64]]) -> Tensor:
        return torch.from_numpy(np.concatenate([part + offset for part, offset in zip(parts, offsets, strict=True)]))

    token_ids = spread([one.tokens for one in prompts], SLOT, np.int64)
    answers = shift([one.answer_places for one in prompts])
    return PromptBatch(
        token_ids=token_ids,
        positions=spread([one.positions for one in prompts], 0, np.int64),
        users=spread([np.full(length, number) for number, length in enumerate(lengths)], PADDING, np.int32),
        branches=spread([one.branches for one in prompts], TRUNK, np.int16),
        leaves_at=spread([one.leaves_at for one in prompts], 0, np.int32),
        image_places=shift([one.image_places for one in prompts]),
        image_items=torch.from_numpy(np.concatenate([one.image_items for one in prompts]).astype(np.int64)),
        rec_places=shift([one.rec_places for one in prompts]),
        answer_places=answers - 1,
        answer_tokens=token_ids.reshape(-1)[answers],
        needs_mask=needs_mask,
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


def _write_prompt(prompt: PromptTokens, request: Request) -> _Prompt:
    history = request.history
    trunk = [prompt.head, *(prompt.items[int(item)] for item in history)]
    ends = np.cumsum([len(segment) for segment in trunk])
    slots = prompt.image_slots[history]
    shown = slots != NO_SLOT
    branches = [np.append(prompt.instruction, SLOT)] * len(request.depths)
    leaves = [int(ends[depth]) for depth in request.depths]
    answer_length = 0
    if request.question is not None:
        template, target = request.question
        answer = prompt.write_answer(template, target)
        answer_length = len(answer)
        branches.append(np.concatenate([prompt.questions[template], answer]))
        leaves.append(int(ends[-1]))
    sizes = [len(branch) for branch in branches]
    total, rec_step = int(ends[-1]) + sum(sizes), len(prompt.instruction) + 1
    return _Prompt(
        tokens=np.concatenate([*trunk, *branches]).astype(np.int32),
        positions=np.concatenate([np.arange(ends[-1]), *map(np.arange, leaves, np.add(leaves, sizes))]),
        branches=np.repeat(np.arange(len(sizes) + 1, dtype=np.int16), [int(ends[-1]), *sizes]),
        leaves_at=np.repeat(np.array([0, *leaves], dtype=np.int32), [int(ends[-1]), *sizes]),
        image_places=(ends[:-1] + slots)[shown],
        image_items=history[shown],
        rec_places=int(ends[-1]) + rec_step * np.arange(1, len(request.depths) + 1) - 1,
        answer_places=np.arange(total - answer_length, total),
    )
