"""What each user knows, for draws of what they do not: negatives of training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Ragged, sort_distinct

_REDRAWS = 100
"""After so many draws an item is taken although the user knows it: there are users who know every item."""


class KnownItems:
    """The items of each user's sequence.

    Attributes:
        n_items: size of the catalog.

    Args:
        sequences: a row per user.
        n_items: size of the catalog.
    """

    def __init__(self, sequences: Ragged, n_items: int) -> None:
        self.n_items = n_items
        owners = np.repeat(np.arange(len(sequences)), sequences.lengths)
        self._keys = sort_distinct(owners * n_items + sequences.values)

    def contains(self, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
        """Return ``bool [n]``: whether each user knows the item beside it."""
        keys = users.astype(np.int64) * self.n_items + items
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.asarray(self._keys[places] == keys)

    def draw_others(self, users: npt.NDArray[np.integer], rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return ``int64 [n]``: for each user an item drawn uniformly from those the user does not know."""
        drawn = rng.integers(0, self.n_items, len(users))
        pending = np.arange(len(users))
        for _ in range(_REDRAWS):
            pending = pending[self.contains(users[pending], drawn[pending])]
            if not len(pending):
                break
            drawn[pending] = rng.integers(0, self.n_items, len(pending))
        return drawn
