"""Prompts of several users as tensors.

A user's prompt is a tree. Its trunk is the history; every question about the history is a branch that leaves the trunk
after some number of items, sees the trunk up to there and itself, and nothing else. Retrieval and alignment ask about
one history, so it is read once for both (paper, 3.2 and 3.3); and a history of L items can be asked for its next item
after every one of them, which reads it once instead of L times. Positions continue from where a branch leaves the
trunk, so the result equals separate prompts.

Several users share a row, so that little is spent on padding; none sees another. The beginning that all prompts share
stands in no row where the language model can run on its keys and values; see :mod:`illmrec.models.prefix`.
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
        question: alignment template and target item; None for no question.
        hidden: ``bool [L]``: items whose picture is not shown; None for none.
        question_depth: after how many items the question is asked; None for all of them.
    """

    history: Indices
    depths: Sequence[int]
    question: tuple[int, int] | None = None
    hidden: npt.NDArray[np.bool_] | None = None
    question_depth: int | None = None

    def cut(self) -> Request:
        """Return the question alone, with no more of the history than it is asked after."""
        end = self.question_depth
        return Request(self.history[:end], [], self.question, None if self.hidden is None else self.hidden[:end])


@dataclass(frozen=True)
class PromptBatch:
    """Rows of prompts; "place" means an index into the flattened ``[R * T]`` grid.

    Args:
        token_ids: ``int64 [R, T]``, :data:`illmrec.models.prompt.SLOT` under slots and padding.
        positions: ``int64 [R, T]``: position ids.
        users: ``int32 [R, T]``: which document of the batch a token belongs to, or :data:`PADDING`.
        branches: ``int16 [R, T]``: number of the branch within its document, or :data:`TRUNK`.
        leaves_at: ``int32 [R, T]``: for tokens of a branch, how many trunk tokens they see, the prefix's included.
        slot_places: ``int64 [M * slots]``: slots, an item's one after the other.
        slot_items: ``int64 [M]``: item_index whose feature goes there.
        rec_places: ``int64 [N]``: the [REC] slot of each retrieval branch, by request and then by depth.
        answer_places: ``int64 [A]``: places whose next token belongs to an answer.
        answer_tokens: ``int64 [A]``: those next tokens.
        queries: ``int64 [R, Q]``: the columns of each row whose output is wanted, filled up with column 0.
        rec_queries: ``int64 [N]``: index of each [REC] into the flattened ``[R * Q]`` outputs.
        answer_queries: ``int64 [A]``: the same of the answers' places.
        prefix_length: tokens that stand before every row without being in it.
    """

    token_ids: Tensor
    positions: Tensor
    users: Tensor
    branches: Tensor
    leaves_at: Tensor
    slot_places: Tensor
    slot_items: Tensor
    rec_places: Tensor
    answer_places: Tensor
    answer_tokens: Tensor
    queries: Tensor
    rec_queries: Tensor
    answer_queries: Tensor
    prefix_length: int

    def attention_mask(self) -> Tensor:
        """Return ``bool [R, 1, T, H + T]``: True where the query (third axis) sees the key (fourth axis).

        The H keys of the prefix come first; everybody sees them.
        """
        size = self.branches.shape[1]
        causal = torch.ones(size, size, dtype=torch.bool, device=self.branches.device).tril()
        same_user = self.users[:, :, None] == self.users[:, None, :]
        own_branch = self.branches[:, :, None] == self.branches[:, None, :]
        # Trunk tokens stand in order, so a trunk key's position is its number in the trunk.
        on_trunk = (self.branches == TRUNK)[:, None, :] & (self.positions[:, None, :] < self.leaves_at[:, :, None])
        inside = (causal & same_user & (own_branch | on_trunk))[:, None]
        return torch.nn.functional.pad(inside, (self.prefix_length, 0), value=True)

    def to(self, device: str | torch.device) -> PromptBatch:
        """Return the batch on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        return PromptBatch(**moved, prefix_length=self.prefix_length)


@dataclass(frozen=True)
class _Document:
    """One prompt tree; places count from its own first token."""

    tokens: Indices
    positions: npt.NDArray[np.int64]
    branches: npt.NDArray[np.int16]
    leaves_at: Indices
    slot_places: npt.NDArray[np.int64]
    slot_items: Indices
    rec_places: npt.NDArray[np.int64]
    answer_places: npt.NDArray[np.int64]


def build_inference_batch(
    prompt: PromptTokens, histories: Sequence[Indices], *, with_head: bool = True, width: int = 512
) -> PromptBatch:
    """Put prompts together that each ask once, after the whole history; see :func:`build_batch`."""
    requests = [Request(history, [len(history)]) for history in histories]
    return build_batch(prompt, requests, with_head=with_head, width=width)


def build_batch(
    prompt: PromptTokens, requests: Sequence[Request], *, with_head: bool = True, width: int = 512
) -> PromptBatch:
    """Put prompts together with any number of branches, several users a row.

    Args:
        prompt: the catalog's tokens.
        requests: what to ask.
        with_head: put the constant beginning into every document; else it is left to a prefix.
        width: hidden width of the language model; see :func:`fill_rows`.
    """
    documents = [one for request in requests for one in _write_request(prompt, request, with_head=with_head)]
    lengths = [len(one.tokens) for one in documents]
    rows, starts = fill_rows(lengths, width)
    return _lay_out(documents, rows, starts, 0 if with_head else len(prompt.head))


def measure_requests(prompt: PromptTokens, requests: Sequence[Request], *, with_head: bool) -> npt.NDArray[np.int64]:
    """Return ``int64 [n]``: the tokens of each request's documents, without writing them."""
    lengths = prompt.items.lengths
    rec = len(prompt.instruction) + 1
    sizes = np.zeros(len(requests), dtype=np.int64)

    def measure_history(request: Request) -> int:
        history = int(lengths[request.history].sum())
        if request.hidden is not None and request.hidden.any():
            shown, bare = request.history[request.hidden], prompt.bare_items.lengths
            history += int(bare[shown].sum() - lengths[shown].sum())
        return history

    for number, request in enumerate(requests):
        sizes[number] = measure_history(request) + rec * len(request.depths) + (len(prompt.head) if with_head else 0)
        if request.question is not None:
            sizes[number] += len(prompt.questions[request.question[0]]) + prompt.measure_answer(*request.question)
            if prompt.question_head is not None:
                sizes[number] += measure_history(request.cut()) + len(prompt.question_head)
    return sizes


def fill_rows(lengths: Sequence[int], width: int) -> tuple[list[int], list[int]]:
    """Return each document's row and start, in rows of the length that costs least.

    Longer rows leave less padding, but every token is compared with all of its row. Documents go longest first, each
    into the fullest row that still has room.

    Args:
        lengths: tokens of each document.
        width: hidden width of the language model, which decides how dear comparing is beside the rest of a layer.
    """
    longest = max(lengths)
    capacities = sorted({longest, *(int(longest * factor) for factor in _ROW_FACTORS)})
    filled = [_fill_rows(lengths, capacity) for capacity in capacities if capacity <= max(sum(lengths), longest)]
    return min(filled, key=lambda found: _weigh_rows(found, lengths, width))


_ROW_FACTORS = (1.25, 1.5, 2.0)
_COMPARING = 0.5
"""Cost of comparing a token with one of its row, in units of a layer's other work on it per coordinate of the width. A
rough figure, which only decides between rows of different lengths."""


_PASS_TOKENS_AT_WIDTH_1 = 2.0e6
"""What starting a pass costs on a processor, as tokens of a language model one coordinate wide; it falls with the
square of the width, because a token's work rises so. As rough as the figure above."""


def packing_pays(lengths: Sequence[int], width: int) -> bool:
    """Return whether a processor reads prompts faster several a row than one a pass.

    Alone, a prompt has no padding and is compared with nothing but itself; but every pass has to be started, which only
    small models notice.

    Args:
        lengths: tokens of each prompt.
        width: hidden width of the language model.
    """
    alone = sum(_weigh_row(length, width) for length in lengths)
    start = _PASS_TOKENS_AT_WIDTH_1 / width**2
    return _weigh_rows(fill_rows(lengths, width), lengths, width) + start < alone + start * len(lengths)


def _weigh_rows(found: tuple[list[int], list[int]], lengths: Sequence[int], width: int) -> float:
    rows, starts = found
    size = max(start + length for start, length in zip(starts, lengths, strict=True))
    return (max(rows) + 1) * _weigh_row(size, width)


def _weigh_row(size: int, width: int) -> float:
    return size * (1.0 + _COMPARING * size / width)


def _fill_rows(lengths: Sequence[int], capacity: int) -> tuple[list[int], list[int]]:
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


def _lay_out(documents: list[_Document], rows: list[int], starts: list[int], prefix_length: int) -> PromptBatch:
    lengths = [len(one.tokens) for one in documents]
    size = max(start + length for start, length in zip(starts, lengths, strict=True))
    offsets = [row * size + start for row, start in zip(rows, starts, strict=True)]
    count = max(rows) + 1
    places = np.concatenate([np.arange(length) + offset for length, offset in zip(lengths, offsets, strict=True)])

    def spread(parts: list[npt.NDArray[np.generic]], fill: int, dtype: type[np.generic]) -> Tensor:
        grid = np.full(count * size, fill, dtype=dtype)
        grid[places] = np.concatenate(parts)
        return torch.from_numpy(grid.reshape(-1, size))

    def shift(parts: list[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        return np.concatenate([part + offset for part, offset in zip(parts, offsets, strict=True)])

    token_ids = spread([one.tokens for one in documents], SLOT, np.int64)
    recs = shift([one.rec_places for one in documents])
    answers = shift([one.answer_places for one in documents])
    queries, found = _gather_queries(np.concatenate([recs, answers - 1]), count, size)
    return PromptBatch(
        token_ids=token_ids,
        positions=spread([one.positions for one in documents], 0, np.int64),
        users=spread([np.full(length, number) for number, length in enumerate(lengths)], PADDING, np.int32),
        branches=spread([one.branches for one in documents], TRUNK, np.int16),
        leaves_at=spread([one.leaves_at for one in documents], 0, np.int32),
        slot_places=torch.from_numpy(shift([one.slot_places for one in documents])),
        slot_items=torch.from_numpy(np.concatenate([one.slot_items for one in documents]).astype(np.int64)),
        rec_places=torch.from_numpy(recs),
        answer_places=torch.from_numpy(answers - 1),
        answer_tokens=token_ids.reshape(-1)[torch.from_numpy(answers)],
        queries=torch.from_numpy(queries),
        rec_queries=torch.from_numpy(found[: len(recs)]),
        answer_queries=torch.from_numpy(found[len(recs) :]),
        prefix_length=prefix_length,
    )


def _gather_queries(
    places: npt.NDArray[np.int64], rows: int, size: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return ``int64 [R, Q]`` columns wanted of each row, and where in them each of the places is, flattened."""
    row, column = np.divmod(places, size)
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=rows)
    within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    queries = np.zeros((rows, max(int(counts.max()), 1)), dtype=np.int64)
    queries[row[order], within] = column[order]
    found = np.empty(len(places), dtype=np.int64)
    found[order] = row[order] * queries.shape[1] + within
    return queries, found


def _write_request(prompt: PromptTokens, request: Request, *, with_head: bool) -> list[_Document]:
    """Return the documents of a request: one tree, or two where a question has a history of its own."""
    head = prompt.head if with_head else prompt.head[:0]
    first = 0 if with_head else len(prompt.head)
    if request.question is None or prompt.question_head is None:
        return [_write_document(prompt, request, head, first)]
    documents = [_write_document(prompt, request.cut(), prompt.question_head, 0)]
    if request.depths:
        retrieval = Request(request.history, request.depths, None, request.hidden)
        documents.insert(0, _write_document(prompt, retrieval, head, first))
    return documents


def _write_document(prompt: PromptTokens, request: Request, head: Indices, first: int) -> _Document:
    """Write one tree whose first token is ``head[0]``, at position ``first``."""
    history = request.history
    starts = prompt.slot_starts[history]
    if request.hidden is None:
        segments = [prompt.items[int(item)] for item in history]
    else:
        starts = np.where(request.hidden, NO_SLOT, starts)
        sources = (prompt.items, prompt.bare_items)
        segments = [sources[int(bare)][int(item)] for item, bare in zip(history, request.hidden, strict=True)]
    trunk = [head, *segments]
    ends = np.cumsum([len(segment) for segment in trunk])
    shown = starts != NO_SLOT
    branches = [np.append(prompt.instruction, SLOT)] * len(request.depths)
    leaves = [int(ends[depth]) for depth in request.depths]
    answer_length = 0
    if request.question is not None:
        template, target = request.question
        answer = prompt.write_answer(template, target)
        answer_length = len(answer)
        branches.append(np.concatenate([prompt.questions[template], answer]))
        leaves.append(int(ends[-1 if request.question_depth is None else request.question_depth]))
    sizes = [len(branch) for branch in branches]
    total, rec_step = int(ends[-1]) + sum(sizes), len(prompt.instruction) + 1
    places = (ends[:-1] + starts)[shown][:, None] + np.arange(prompt.slots)
    return _Document(
        tokens=np.concatenate([*trunk, *branches]).astype(np.int32),
        positions=first + np.concatenate([np.arange(ends[-1]), *map(np.arange, leaves, np.add(leaves, sizes))]),
        branches=np.repeat(np.arange(len(sizes) + 1, dtype=np.int16), [int(ends[-1]), *sizes]),
        leaves_at=np.repeat(np.array([0, *(first + leaf for leaf in leaves)], np.int32), [int(ends[-1]), *sizes]),
        slot_places=places.reshape(-1),
        slot_items=history[shown],
        rec_places=int(ends[-1]) + rec_step * np.arange(1, len(request.depths) + 1) - 1,
        answer_places=np.arange(total - answer_length, total),
    )
