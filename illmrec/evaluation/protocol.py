"""What a target is ranked among: the full catalog (primary) or stored sampled negatives (the paper's).

In both, items the user has already interacted with are no candidates, the target always is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices, Ragged
from illmrec.evaluation.rank import Ranks, rank_target

_BLOCK_USERS = 512


class Scorer(Protocol):
    """Anything that scores the whole catalog for a block of users."""

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""


class DotScorer:
    """Scores that are dot products of user and item vectors.

    Args:
        users: ``float32 [n_users, d]``.
        items: ``float32 [n_items, d]``.
    """

    def __init__(self, users: npt.NDArray[np.float32], items: npt.NDArray[np.float32]) -> None:
        self._users, self._items = users, items

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        return np.asarray(self._users[users] @ self._items.T, dtype=np.float32)


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


def rank_users(
    scorer: Scorer, histories: Ragged, targets: Indices, negatives: Ragged | None = None
) -> Mapping[str, Ranks]:
    """Rank every user's target under both protocols.

    Args:
        scorer: the model.
        histories: what is known of each user before the target; no candidates.
        targets: ``int32 [n]``: target per user.
        negatives: sampled candidates per user; without them only the full catalog is ranked.

    Returns:
        ``full`` and, with negatives, ``sampled``: ``float64 [n]``. Time grows with users x items.
    """
    ranks = {name: np.empty(len(targets)) for name in (("full", "sampled") if negatives is not None else ("full",))}
    for start in range(0, len(targets), _BLOCK_USERS):
        users = np.arange(start, min(start + _BLOCK_USERS, len(targets)))
        scores = scorer.score_users(users)
        if negatives is not None:
            ranks["sampled"][users] = _rank_sampled(scores, users, targets, negatives)
        ranks["full"][users] = _rank_full(scores, users, targets, histories)
    return ranks


def _rank_full(
    scores: npt.NDArray[np.float32], users: npt.NDArray[np.int64], targets: Indices, histories: Ragged
) -> Ranks:
    own = scores[np.arange(len(users)), targets[users]]
    first, last = int(users[0]), int(users[-1]) + 1
    rows = np.repeat(np.arange(len(users)), histories.lengths[users])
    scores[rows, histories.values[histories.offsets[first] : histories.offsets[last]]] = -np.inf
    scores[np.arange(len(users)), targets[users]] = own
    return rank_target(scores, targets[users])


def _rank_sampled(
    scores: npt.NDArray[np.float32], users: npt.NDArray[np.int64], targets: Indices, negatives: Ragged
) -> Ranks:
    size = int(negatives.lengths[users].max())
    candidates = np.full((len(users), size + 1), -np.inf, dtype=np.float32)
    candidates[:, 0] = scores[np.arange(len(users)), targets[users]]
    rows = np.repeat(np.arange(len(users)), negatives.lengths[users])
    columns = np.concatenate([np.arange(1, length + 1) for length in negatives.lengths[users]])
    first, last = int(users[0]), int(users[-1]) + 1
    drawn = negatives.values[negatives.offsets[first] : negatives.offsets[last]]
    candidates[rows, columns] = scores[rows, drawn]
    return rank_target(candidates, np.zeros(len(users), dtype=np.int64))
