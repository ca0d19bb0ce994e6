"""What a target is ranked among: the full catalog (primary), or stored or given candidates of each user.

In all of them, items the user has already interacted with are no candidates, and the target always is one. Other
targets of the same user are none either: an item that the user did take later is no wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices, Ragged
from illmrec.errors import DataError
from illmrec.evaluation.rank import Ranks, average_ranks, count_rivals, refuse_broken
from illmrec.evaluation.top import select_top
from illmrec.progress import track_items

BLOCK_CELLS = 4_000_000
"""Scores held at a time, about; memory is a few times that, whatever the number of users and items."""
FIRST_USERS = 16
"""Users of the first block, from which the number of items becomes known."""


class Scorer(Protocol):
    """Anything that scores the whole catalog for a block of users."""

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for positions of users ``[n]``, in an array that may be written to."""


class DotScorer:
    """Scores that are dot products of user and item vectors, in single precision.

    Anything with such a method ``score_users`` can be ranked by :func:`illmrec.rank_users`.

    Args:
        users: ``float32 [n_users, d]``.
        items: ``float32 [n_items, d]``.

    Example:
        >>> users, items = np.eye(2, dtype=np.float32), np.array([[1, 0], [3, 1], [0, 2]], dtype=np.float32)
        >>> illmrec.DotScorer(users, items).score_users(np.array([0, 1])).tolist()
        [[1.0, 3.0, 0.0], [0.0, 1.0, 2.0]]
    """

    def __init__(self, users: npt.NDArray[np.float32], items: npt.NDArray[np.float32]) -> None:
        self.users, self.items = users, items

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        return np.asarray(self.users[users] @ self.items.T, dtype=np.float32)


class PopularityScorer:
    """Every user gets the items' counts in the training interactions.

    Args:
        train: training sequences.
        n_items: size of the catalog.
    """

    def __init__(self, train: Ragged, n_items: int) -> None:
        self._counts = np.bincount(train.values, minlength=n_items).astype(np.float32)

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        return np.tile(self._counts, (len(users), 1))


@dataclass(frozen=True)
class Cases:
    """Whom to rank for, and which items.

    Args:
        users: ``int64 [n]``: user_index of each. Scorers know a user by the position here.
        histories: per user what is known before the targets; no candidates.
        targets: per user the target items, at least one.
    """

    users: npt.NDArray[np.int64]
    histories: Ragged
    targets: Ragged

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.users)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """Return ``int64 [c]``: of each target the position in ``users``."""
        return np.repeat(np.arange(len(self.users)), self.targets.lengths)

    def choose(self, positions: npt.NDArray[np.int64]) -> Cases:
        """Return the cases of some users."""
        return Cases(self.users[positions], self.histories.take(positions), self.targets.take(positions))


@dataclass(frozen=True)
class Ranked:
    """What one pass over the scores found.

    Args:
        ranks: protocol -> ``float64 [c]``: rank of each target, in the order of ``Cases.targets.values``.
        tied: ``bool [c]``: whether another candidate of the full catalog has the target's score.
        lists: ``int32 [n, k]``: the best items that are not in the history, best first; -1 after the last.
    """

    ranks: Mapping[str, Ranks]
    tied: npt.NDArray[np.bool_]
    lists: Indices


def rank_cases(
    scorer: Scorer,
    cases: Cases,
    pools: Mapping[str, Ragged] | None = None,
    *,
    list_length: int = 0,
    allowed: npt.NDArray[np.bool_] | None = None,
    label: str | None = None,
) -> Ranked:
    """Rank every target under every protocol, and list the best items, in one pass over blocks of users.

    Args:
        scorer: the model.
        cases: users, histories, targets.
        pools: protocol -> per user the candidates beside the target; they must not hold targets or history.
        list_length: k of the lists.
        allowed: ``bool [n_items]``: candidates of the full catalog; None for all items.
        label: name of a progress bar; None for no bar.

    Returns:
        Ranks under ``full`` and under each pool's name. Time grows with users x items.

    Raises:
        ModelError: when a score is NaN or a target's is not finite.
        DataError: when a target is no item.
    """
    pools = pools or {}
    if len(cases.targets.values) and cases.targets.values.min() < 0:
        raise DataError("a user without a target cannot be ranked.", hint="Rank the users of targets.parquet only.")
    ranks = {name: np.empty(len(cases.targets.values)) for name in ("full", *pools)}
    tied = np.zeros(len(cases.targets.values), dtype=np.bool_)
    lists = np.zeros((len(cases), list_length), dtype=np.int32)
    for users, scores in _score_blocks(scorer, cases, label):
        block = cases.choose(users)
        places = slice(cases.targets.offsets[users[0]], cases.targets.offsets[users[-1] + 1])
        own = scores[block.owners, block.targets.values]
        refuse_broken(scores, own)
        for name, pool in pools.items():
            ranks[name][places] = _rank_in_pool(scores, own, block.owners, pool.take(users))
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        _leave_out(scores, block.histories)
        if list_length:
            lists[users] = select_top(scores, list_length)
        _leave_out(scores, block.targets)
        above, equal = count_rivals(scores if len(own) == len(scores) else scores[block.owners], own)
        ranks["full"][places], tied[places] = average_ranks(above, equal), equal > 0
    return Ranked(ranks, tied, lists)


def rank_users(
    scorer: Scorer, histories: Ragged, targets: Indices, negatives: Ragged | None = None
) -> Mapping[str, Ranks]:
    """Rank one target of every user among the full catalog, and among sampled candidates where there are any.

    Ranks count from 1; among equal scores a target has the average of the ranks they span. Items of the history are no
    candidates.

    Args:
        scorer: the model, such as :class:`illmrec.DotScorer`: ``score_users`` returns ``float32 [n, n_items]``.
        histories: what is known of each user before the target; no candidates.
        targets: ``int32 [n]``: target per user.
        negatives: sampled candidates per user; without them only the full catalog is ranked.

    Returns:
        ``full`` and, with negatives, ``sampled``: ``float64 [n]``. Time grows with users x items.

    Raises:
        ModelError: when a score is NaN or a target's is not finite.
        DataError: when a target is no item.

    Example:
        >>> sequences = illmrec.read_sequences(pl.read_parquet("artifacts/shop/split/sequences.parquet"))
        >>> popular = np.bincount(sequences.train.values, minlength=4).astype(np.float32)
        >>> scorer = illmrec.DotScorer(np.ones((len(sequences), 1), np.float32), popular[:, None])
        >>> ranks = illmrec.rank_users(scorer, sequences.histories("test"), sequences.test)
        >>> ranks["full"].tolist()
        [1.0, 2.0, 1.0]
    """
    cases = Cases(np.arange(len(targets)), histories, Ragged(targets, np.arange(len(targets) + 1)))
    return rank_cases(scorer, cases, {} if negatives is None else {"sampled": negatives}).ranks


def _score_blocks(
    scorer: Scorer, cases: Cases, label: str | None
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Yield positions of users and their scores ``float32 [n, n_items]``, block by block."""
    start, size = 0, FIRST_USERS
    with track_items(label, total=len(cases), unit="user") if label else nullcontext(_ignore) as advance:
        while start < len(cases):
            positions = np.arange(start, min(start + size, len(cases)))
            scores = scorer.score_users(positions)
            start, size = start + size, max(1, BLOCK_CELLS // scores.shape[1])
            yield positions, scores
            advance(len(positions))


def _ignore(count: int) -> None:
    """Do nothing with the number of users just ranked."""
    del count


def _leave_out(scores: npt.NDArray[np.float32], items: Ragged) -> None:
    scores[np.repeat(np.arange(len(items)), items.lengths), items.values] = -np.inf


def _rank_in_pool(
    scores: npt.NDArray[np.float32], own: npt.NDArray[np.float32], owners: npt.NDArray[np.int64], pool: Ragged
) -> Ranks:
    """Return ``float64 [c]``: ranks of targets with scores ``own`` among the pool of their owner."""
    mine = pool.take(owners)
    case = np.repeat(np.arange(len(owners)), mine.lengths)
    rivals, bar = scores[owners[case], mine.values], own[case]
    above = np.bincount(case[rivals > bar], minlength=len(owners))
    tied = np.bincount(case[rivals == bar], minlength=len(owners))
    return average_ranks(above, tied)
