"""The k-core of a bipartite interaction graph: users and items with enough interactions among themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.integer]


def find_core(users: Codes, items: Codes, user_core: int, item_core: int) -> npt.NDArray[np.bool_]:
    """Return which interactions remain when users and items with too few are removed until nothing changes.

    Args:
        users: int [n]: dense user code of each interaction.
        items: int [n]: dense item code of each interaction.
        user_core: fewest interactions of a remaining user.
        item_core: fewest interactions of a remaining item.

    Returns:
        bool [n]; the largest set that satisfies both, possibly empty.
    """
    mask = np.ones(users.size, dtype=np.bool_)
    while users.size:
        enough = (np.bincount(users) >= user_core)[users]
        enough &= (np.bincount(items) >= item_core)[items]
        if enough.all():
            break
        mask[mask] = enough
        users, items = users[enough], items[enough]
    return mask


def largest_core(users: Codes, items: Codes) -> int:
    """Return the largest k whose k-core (same k for users and items) is not empty; 0 without interactions."""
    k = 0
    while users.size:
        k += 1
        mask = find_core(users, items, k, k)
        users, items = users[mask], items[mask]
    return max(k - 1, 0)
