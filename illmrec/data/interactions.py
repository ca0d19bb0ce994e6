"""Interactions in history order: duplicates and repeats removed, ties broken by a seeded hash, k-core applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import INTERACTIONS, ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.kcore import find_core, largest_core
from illmrec.errors import DataError
from illmrec.seeds import derive_seed

Repeats = Literal["first", "all"]

_USER, _ITEM, _TIE = "user", "item", "tie"


@dataclass(frozen=True)
class CoreInteractions:
    """Interactions in history order, parted by the k-core.

    Attributes:
        core: ``columns.INTERACTIONS`` sorted by user, then time, then tie hash.
        below: the interactions that the core removed, in the same order.
        counts: what was removed and what remains, for the summary.
        tie_share: share of core interactions with the same user and timestamp as another.
    """

    core: pl.DataFrame
    below: pl.DataFrame
    counts: dict[str, int]
    tie_share: float


def select_core(
    interactions: pl.DataFrame, *, repeats: Repeats, user_core: int, item_core: int, seed: int
) -> CoreInteractions:
    """Order interactions, drop duplicates and repeats, and part them by the k-core.

    Rows equal in user, item and timestamp count once. Interactions of one user at the same second have no known order;
    a hash of (seed, user, item) decides, because an order by item id would carry information about the item.

    Args:
        interactions: ``columns.INTERACTIONS`` in any order.
        repeats: ``first`` keeps a user's earliest interaction with an item, ``all`` keeps each.
        user_core: fewest interactions of a user of the core.
        item_core: fewest interactions of an item of the core.
        seed: seed of the order among ties.

    Raises:
        DataError: when there are no interactions, or none is left in the core.
    """
    if interactions.is_empty():
        raise DataError("there are no interactions.", hint="Look at the raw files and at rejected rows.")
    user_ids = interactions[USER_ID].unique().sort()
    item_ids = interactions[ITEM_ID].unique().sort()
    ordered = _order(interactions, user_ids, item_ids, seed)
    distinct = ordered.filter(~_equals_previous(_USER, TIMESTAMP, _ITEM))
    kept = distinct
    if repeats == "first":
        kept = distinct.unique([_USER, _ITEM], keep="first", maintain_order=True)
    mask = _find_core(kept, user_core, item_core)
    core, below = kept.filter(mask), kept.filter(~mask)
    counts = {
        "users_with_interactions": len(user_ids),
        "items_with_interactions": len(item_ids),
        "duplicate_interactions_dropped": interactions.height - distinct.height,
        "repeated_interactions_dropped": distinct.height - kept.height,
        "interactions_before_core": kept.height,
        "interactions": core.height,
        "interactions_below_core": below.height,
        "users": core[_USER].n_unique(),
        "items": core[_ITEM].n_unique(),
    }
    tied = core.select(_equals_previous(_USER, TIMESTAMP) | _equals_next(_USER, TIMESTAMP)).to_series().to_numpy()
    return CoreInteractions(
        _decode(core, user_ids, item_ids), _decode(below, user_ids, item_ids), counts, float(tied.mean())
    )


def _order(interactions: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, seed: int) -> pl.DataFrame:
    """Return integer columns user, item, timestamp and tie in history order."""
    coded = interactions.select(
        pl.col(USER_ID).cast(pl.Enum(user_ids)).to_physical().cast(pl.UInt32).alias(_USER),
        pl.col(ITEM_ID).cast(pl.Enum(item_ids)).to_physical().cast(pl.UInt32).alias(_ITEM),
        TIMESTAMP,
    )
    of_user, of_item = _hash_ids(user_ids, seed), _hash_ids(item_ids, seed)
    ties = _mix(of_user[coded[_USER].to_numpy()], of_item[coded[_ITEM].to_numpy()])
    # The item's code comes last only to keep equal rows together should two hashes collide.
    return coded.with_columns(pl.Series(_TIE, ties)).sort(_USER, TIMESTAMP, _TIE, _ITEM)


def _equals_previous(*columns: str) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in columns).fill_null(value=False)


def _equals_next(*columns: str) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in columns).fill_null(value=False)


def _hash_ids(ids: pl.Series, seed: int) -> npt.NDArray[np.uint64]:
    return np.fromiter((derive_seed(seed, "tie", value) for value in ids), np.uint64, len(ids))


def _mix(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return one well-spread 64-bit number per pair: the finaliser of splitmix64 on a sum that tells sides apart."""
    mixed = left + right * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    spread: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return spread


def _find_core(kept: pl.DataFrame, user_core: int, item_core: int) -> pl.Series:
    users, items = kept[_USER].to_numpy(), kept[_ITEM].to_numpy()
    mask = find_core(users, items, user_core, item_core)
    if not mask.any():
        raise DataError(
            f"the k-core with user_core {user_core} and item_core {item_core} leaves nothing of {users.size:,} "
            f"interactions ({kept[_USER].n_unique():,} users, {kept[_ITEM].n_unique():,} items); "
            f"the largest k with something left is {largest_core(users, items)}.",
            hint="Lower prepare.user_core and prepare.item_core.",
        )
    return pl.Series(mask)


def _decode(coded: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    columns = [
        user_ids.gather(coded[_USER]).alias(USER_ID),
        item_ids.gather(coded[_ITEM]).alias(ITEM_ID),
        coded[TIMESTAMP],
    ]
    return pl.DataFrame(columns, schema=INTERACTIONS)
