"""Two rules that look at when items were taken and learn next to nothing: what follows the last item, and repeats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from illmrec.data.histories import Ragged


def count_successors(train: Ragged, n_items: int) -> sparse.csr_array:
    """Return ``float32 [n_items, n_items]``, sparse: how often the column's item came right after the row's."""
    before, after = train.values[:-1], train.values[1:]
    inside = np.ones(max(len(train.values) - 1, 0), dtype=np.bool_)
    borders = train.offsets[1:-1]
    inside[borders[(borders > 0) & (borders < len(train.values))] - 1] = False
    ones = np.ones(int(inside.sum()), dtype=np.float32)
    return sparse.csr_array((ones, (before[inside], after[inside])), shape=(n_items, n_items))


class LastItem:
    """What most often followed the last item of the history, then what is popular: a Markov chain of first order.

    Args:
        train: training sequences.
        n_items: size of the catalog.
        histories: what is known of each user; row = user_index.
    """

    def __init__(self, train: Ragged, n_items: int, histories: Ragged) -> None:
        self._successors = count_successors(train, n_items)
        counts = np.bincount(train.values, minlength=n_items)
        # Below 1, so that popularity orders only what followed equally often.
        self._popularity = (counts / (counts.max(initial=0) + 1)).astype(np.float32)
        self._histories = histories

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        scores = np.tile(self._popularity, (len(users), 1))
        known = np.flatnonzero(self._histories.lengths[users] > 0)
        last = self._histories.values[self._histories.offsets[users[known] + 1] - 1]
        scores[known] += self._successors[last].toarray()
        return scores


class Repeat:
    """What the user took before, the most recent first; all other items are equal.

    Where items of the history are no candidates and targets are new to the user, every rank is the middle one.

    Args:
        n_items: size of the catalog.
        histories: what is known of each user; row = user_index.
    """

    def __init__(self, n_items: int, histories: Ragged) -> None:
        self._n_items, self._histories = n_items, histories

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        rows = self._histories.take(users)
        scores = np.zeros((len(users), self._n_items), dtype=np.float32)
        owners = np.repeat(np.arange(len(rows)), rows.lengths)
        places = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], rows.lengths) + 1
        np.maximum.at(scores, (owners, rows.values), places.astype(np.float32))
        return scores
