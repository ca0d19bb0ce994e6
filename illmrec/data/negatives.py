"""Sampled candidates of the sampled evaluation protocol."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.seeds import generator

Indices = npt.NDArray[np.int32]


def sample_negatives(seen: npt.NDArray[np.integer], items: int, count: int, *, seed: int, user_id: str) -> Indices:
    """Draw items that a user never interacted with, uniformly and without replacement.

    The draw depends on the seed, the user's id, the user's items and the catalog's size only, so adding or removing
    other users changes nothing.

    Args:
        seen: int [h]: item indices the user interacted with, repeats allowed.
        items: number of items in the catalog.
        count: items wanted.
        seed: seed of all users' draws.
        user_id: whose draw it is.

    Returns:
        int32 [n]: item indices in the order drawn; all unseen items where there are fewer than ``count``.
    """
    taken = np.unique(seen)
    unseen = items - taken.size
    ranks = generator(seed, "negatives", user_id).choice(unseen, min(count, unseen), replace=False)
    # The r-th unseen item has index r plus the number of seen items before it.
    before = np.searchsorted(taken - np.arange(taken.size), ranks, side="right")
    return (ranks + before).astype(np.int32)
