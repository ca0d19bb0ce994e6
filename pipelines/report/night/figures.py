"""Counts and shares of a night's rows, and of what changed since the night before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.scoring.audit import MODEL, TOP_ITEMS_SHARE, measure_fallbacks, measure_overlap


@dataclass(frozen=True)
class NightFigures:
    """One night in figures; shares are 0 to 1.

    Args:
        users: users with rows.
        rows: rows.
        items: different items in the lists.
        catalog: items there are.
        fallback: share of users whose rows the model did not choose.
        top_items: how many items :attr:`top_share` is of: the most recommended hundredth of the catalog.
        top_share: share of the model's rows that go to them.
        without_picture: share of rows whose item has no picture, so that text stood in.
        new_items: share of rows whose item nobody had taken when the model was trained; None where that is not known.
        reasons: reason -> share of users.
    """

    users: int
    rows: int
    items: int
    catalog: int
    fallback: float
    top_items: int
    top_share: float
    without_picture: float
    new_items: float | None
    reasons: Mapping[str, float]

    @property
    def coverage(self) -> float:
        """Share of the catalog that stands in anyone's list."""
        return self.items / self.catalog if self.catalog else 0.0


@dataclass(frozen=True)
class Change:
    """What is different from the night before.

    Args:
        users_new: users served now and not then.
        users_gone: users served then and not now.
        overlap: mean share of a user's items that were in the list before; None where no user is in both.
        kept: number of users by how many items of the list stayed: ``kept[j]`` users kept j.
        entered: items in lists now and not then, with the number of users they are shown to, most first.
        left: items in lists then and not now, likewise.
    """

    users_new: int
    users_gone: int
    overlap: float | None
    kept: tuple[int, ...]
    entered: tuple[tuple[str, int], ...]
    left: tuple[tuple[str, int], ...]


def measure_night(table: pl.DataFrame, catalog: int) -> NightFigures:
    """Return the figures of a night.

    Args:
        table: its rows, :data:`illmrec.scoring.output.RECOMMENDATIONS`.
        catalog: number of items there are.
    """
    top = max(1, round(TOP_ITEMS_SHARE * catalog))
    chosen = table.filter(pl.col("reason") == MODEL)
    counts = [count for _, count in count_items(chosen)]
    reasons = table.group_by("reason").agg(users=pl.col(USER_ID).n_unique()).sort("users", "reason", descending=True)
    users = table[USER_ID].n_unique()
    return NightFigures(
        users=users,
        rows=table.height,
        items=table[ITEM_ID].n_unique(),
        catalog=catalog,
        fallback=measure_fallbacks(table),
        top_items=top,
        top_share=sum(counts[:top]) / chosen.height if chosen.height else 0.0,
        without_picture=_share(table["image_fallback"]) or 0.0,
        new_items=_share(table["new_item"]),
        reasons={str(reason): count / users for reason, count in reasons.iter_rows()},
    )


def _share(flags: pl.Series) -> float | None:
    known = flags.drop_nulls()
    return float(known.sum()) / known.len() if known.len() else None


def count_items(table: pl.DataFrame) -> list[tuple[str, int]]:
    """Return (item_id, rows) of every item in the lists, most recommended first, equal ones by id."""
    return list(table.group_by(ITEM_ID).len().sort([-pl.col("len").cast(pl.Int64), pl.col(ITEM_ID)]).iter_rows())


def compare_nights(now: pl.DataFrame, before: pl.DataFrame) -> Change:
    """Return what changed between two nights' rows."""
    users = set(now[USER_ID].unique()), set(before[USER_ID].unique())
    shown = count_items(now), count_items(before)
    known = {item for item, _ in shown[0]}, {item for item, _ in shown[1]}
    return Change(
        users_new=len(users[0] - users[1]),
        users_gone=len(users[1] - users[0]),
        overlap=measure_overlap(now, before),
        kept=_count_kept(now, before),
        entered=tuple(pair for pair in shown[0] if pair[0] not in known[1]),
        left=tuple(pair for pair in shown[1] if pair[0] not in known[0]),
    )


def _count_kept(now: pl.DataFrame, before: pl.DataFrame) -> tuple[int, ...]:
    both = now.join(before.select(USER_ID).unique(), on=USER_ID, how="semi")
    if both.is_empty():
        return ()
    stays = both.join(before.select(USER_ID, ITEM_ID, stays=1), on=[USER_ID, ITEM_ID], how="left")
    kept = stays.group_by(USER_ID).agg(pl.col("stays").sum())["stays"]
    longest = int(both.group_by(USER_ID).len()["len"].max())  # type: ignore[arg-type]
    return tuple(int((kept == count).sum()) for count in range(longest + 1))
