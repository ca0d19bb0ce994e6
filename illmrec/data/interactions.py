"""Interactions in history order: duplicates and repeats removed, ties broken by a seeded hash, k-core applied.

Everything works on arrays of codes; see :mod:`illmrec.data.files.coded`. Tens of millions of interactions take a few
numbers each and a few sorts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.files.coded import CodedInteractions
from illmrec.data.splitting.kcore import find_core, largest_core
from illmrec.errors import DataError
from illmrec.seeds import derive_seed_of_each, spread_bits

Repeats = Literal["first", "all"]

KEY_BITS = HASH_BITS = 64


@dataclass(frozen=True)
class CoreInteractions:
    """Interactions in history order, parted by the k-core.

    Attributes:
        core: ``columns.INTERACTIONS`` sorted by user, then time, then tie hash.
        below: the interactions that the core removed, in the same order.
        user_ids: the core's users, sorted.
        item_ids: the core's items, sorted.
        counts: what was removed and what remains, for the summary.
        tie_share: share of core interactions with the same user and timestamp as another.
    """

    core: pl.DataFrame
    below: pl.DataFrame
    user_ids: pl.Series
    item_ids: pl.Series
    counts: dict[str, int]
    tie_share: float


def select_core(
    interactions: CodedInteractions, *, repeats: Repeats, user_core: int, item_core: int, seed: int
) -> CoreInteractions:
    """Order interactions, drop duplicates and repeats, and part them by the k-core.

    The k-core is what is left when users and items with too few interactions are removed until none is left of them.
    Rows equal in user, item and timestamp count once. Interactions of one user at the same second have no known order;
    a hash of (seed, user, item) decides, because an order by item id would carry information about the item.

    Args:
        interactions: in any order; those of :func:`illmrec.read_raw`.
        repeats: ``first`` keeps a user's earliest interaction with an item, ``all`` keeps each.
        user_core: fewest interactions of a user of the core.
        item_core: fewest interactions of an item of the core.
        seed: seed of the order among ties.

    Raises:
        DataError: when there are no interactions, or none is left in the core.

    Example:
        >>> raw = illmrec.read_raw("own", Path("data/shop"))
        >>> chosen = illmrec.select_core(raw.interactions, repeats="first", user_core=3, item_core=1, seed=0)
        >>> chosen.counts["users"], chosen.counts["interactions"], chosen.core.columns
        (3, 10, ['user_id', 'item_id', 'timestamp'])
    """
    if not len(interactions):
        raise DataError("there are no interactions.", hint="Look at the raw files and at rejected rows.")
    ordered = interactions.select(_find_order(interactions, seed))
    distinct = ordered.select(~_equals_previous(ordered.users, ordered.times, ordered.items))
    kept = distinct.select(_find_first(distinct.users, distinct.items)) if repeats == "first" else distinct
    mask = _find_core(kept, user_core, item_core)
    core, below = kept.select(mask), kept.select(~mask)
    users, items = _list_used(core.users), _list_used(core.items)
    counts = {
        "users_with_interactions": len(interactions.user_ids),
        "items_with_interactions": len(interactions.item_ids),
        "duplicate_interactions_dropped": len(interactions) - len(distinct),
        "repeated_interactions_dropped": len(distinct) - len(kept),
        "interactions_before_core": len(kept),
        "interactions": len(core),
        "interactions_below_core": len(below),
        "users": len(users),
        "items": len(items),
    }
    return CoreInteractions(
        core=core.decode(),
        below=below.decode(),
        user_ids=core.user_ids.gather(users),
        item_ids=core.item_ids.gather(items),
        counts=counts,
        tie_share=_measure_ties(core),
    )


def _find_order(interactions: CodedInteractions, seed: int) -> npt.NDArray[np.int64]:
    """Return the positions of interactions in history order: by user, time, tie hash, item.

    One 64-bit key holds user, time and as much of the tie hash as fits, which is nearly always enough: one sort. Rows
    whose keys agree are put in order by the whole hash afterwards.
    """
    users, items = interactions.users, interactions.items
    ties = _hash_pairs(interactions, seed)
    clock = _number_times(interactions.times)
    tie_bits = KEY_BITS - _count_bits(users.max()) - _count_bits(clock.max())
    if tie_bits <= 0:
        return np.lexsort((items, ties, clock, users)).astype(np.int64)
    key = (users.astype(np.uint64) << np.uint64(KEY_BITS - _count_bits(users.max()))) | (clock << np.uint64(tie_bits))
    key |= ties >> np.uint64(HASH_BITS - tie_bits)
    order: npt.NDArray[np.int64] = pl.Series(key).arg_sort().to_numpy().astype(np.int64)
    key = key[order]
    equal = key[1:] == key[:-1]
    if equal.any():
        unsettled = np.flatnonzero(np.append(equal, [False]) | np.append([False], equal))
        rows = order[unsettled]
        order[unsettled] = rows[np.lexsort((items[rows], ties[rows], key[unsettled]))]
    return order


def _number_times(times: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return times from 0 in their own clock's steps (days, seconds), which are small numbers in the same order."""
    passed = times - times.min()
    step = max(int(np.gcd.reduce(passed)), 1)
    numbered: npt.NDArray[np.uint64] = (passed // step).astype(np.uint64)
    return numbered


def _count_bits(largest: np.integer) -> int:
    return max(int(largest).bit_length(), 1)


def _hash_pairs(interactions: CodedInteractions, seed: int) -> npt.NDArray[np.uint64]:
    of_user = derive_seed_of_each(interactions.user_ids, seed, "tie")[interactions.users]
    of_item = derive_seed_of_each(interactions.item_ids, seed, "tie")[interactions.items]
    of_item *= np.uint64(0x9E3779B97F4A7C15)  # tells the two sides apart
    of_item += of_user
    return spread_bits(of_item)


def _equals_previous(*columns: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return ``bool [n]``: whether a row equals the row before it in all columns."""
    equal = np.zeros(len(columns[0]), dtype=np.bool_)
    equal[1:] = True
    for column in columns:
        equal[1:] &= column[1:] == column[:-1]
    return equal


def _find_first(users: npt.NDArray[np.uint32], items: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Return ``bool [n]``: whether a row is the first with its user and item."""
    item_bits = _count_bits(items.max())
    if _count_bits(users.max()) + item_bits > KEY_BITS:
        order = np.lexsort((items, users))
    else:
        key = (users.astype(np.uint64) << np.uint64(item_bits)) | items
        order = np.argsort(key, kind="stable")  # merges runs, and rows in history order are nearly all of one
    repeated = _equals_previous(users[order], items[order])  # of equal pairs the first row stays first
    first = np.ones(len(users), dtype=np.bool_)
    first[order[repeated]] = False
    return first


def _find_core(kept: CodedInteractions, user_core: int, item_core: int) -> npt.NDArray[np.bool_]:
    mask = find_core(kept.users, kept.items, user_core, item_core)
    if not mask.any():
        raise DataError(
            f"the k-core with user_core {user_core} and item_core {item_core} leaves nothing of {len(kept):,} "
            f"interactions ({len(kept.user_ids):,} users, {len(kept.item_ids):,} items); "
            f"the largest k with something left is {largest_core(kept.users, kept.items)}.",
            hint="Lower prepare.user_core and prepare.item_core.",
        )
    return mask


def _list_used(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    return np.flatnonzero(np.bincount(codes))


def _measure_ties(core: CodedInteractions) -> float:
    """Return the share of interactions with the same user and time as another; those stand side by side."""
    after = _equals_previous(core.users, core.times)
    return float((after | np.append(after[1:], [False])).mean())
