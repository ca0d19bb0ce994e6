"""What must hold of recommendations before anyone reads them: every check with what it found and what it allows."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from illmrec.columns import ITEM_ID, USER_ID

TOP_ITEMS_SHARE = 0.01
"""The items whose share of the rows is looked at: those recommended most."""

MODEL = "model"
"""Reason of rows that the model chose; every other reason is a fallback."""


@dataclass(frozen=True)
class Check:
    """One check of a night."""

    name: str
    """What was looked at."""
    value: float | None
    """What was found; None where there was nothing to compare."""
    low: float | None
    """Smallest value allowed; None for no bound."""
    high: float | None
    """Largest value allowed; None for no bound."""
    told: str
    """The finding in words."""

    @property
    def passed(self) -> bool:
        """Whether the value lies within the bounds; nothing to compare passes."""
        if self.value is None:
            return True
        return not (
            (self.low is not None and self.value < self.low) or (self.high is not None and self.value > self.high)
        )


@dataclass(frozen=True)
class Bounds:
    """What a night may be like; see :class:`pipelines.parameters.operation.AuditConfig`."""

    min_coverage: float = 0.999
    max_fallback_share: float = 1.0
    max_fallback_rise: float = 1.0
    min_overlap: float = 0.0
    max_overlap: float = 1.0
    max_top_items_share: float = 1.0
    max_catalog_age_days: int | None = None
    min_users_left: float = 0.0
    min_items_left: float = 0.0


@dataclass(frozen=True)
class Due:
    """What the night had to be made from.

    Args:
        users: every user_id that should be served.
        items: every item_id that may be recommended.
        seen: user_id and item_id of known interactions.
        k: rows a user should have; fewer are right only where the unseen catalog is smaller.
        age_days: days between the newest known interaction and the night; None where nothing is known.
    """

    users: pl.Series
    items: pl.Series
    seen: pl.DataFrame
    k: int
    age_days: int | None = None
    withdrawn: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.String))
    """Items of the catalog that must not be recommended: that they are gone is no fault."""


def audit_recommendations(
    table: pl.DataFrame, due: Due, bounds: Bounds, *, last: pl.DataFrame | None = None, compare_lists: bool = True
) -> list[Check]:
    """Return every check of a night.

    Args:
        table: :data:`illmrec.scoring.output.RECOMMENDATIONS`.
        due: what the night had to be made from.
        bounds: what is allowed.
        last: the night published last, the same columns; None where there is none to compare with.
        compare_lists: compare the users' items with those of ``last``; off where another model wrote it.
    """
    strangers = table.filter(~pl.col(USER_ID).is_in(due.users.implode())).height
    outside = table.filter(~pl.col(ITEM_ID).is_in(due.items.implode())).height
    wrong = _count_wrong_lists(table, due)
    kept = None if last is None else last.filter(~pl.col(ITEM_ID).is_in(due.withdrawn.implode()))
    return [
        _check_coverage(table, due.users, bounds.min_coverage),
        _check_left("users_left", last, USER_ID, due.users, bounds.min_users_left),
        _check_left("items_left", kept, ITEM_ID, due.items, bounds.min_items_left),
        _none("unknown_users", strangers, "rows name users nobody asked for"),
        _none("outside_catalog", outside, "rows name items that are withdrawn or outside the catalog"),
        _none("already_seen", _count_seen(table, due.seen), "rows recommend items the user already has"),
        _none("not_finite", _count_broken(table), "rows have scores or shares that are not finite numbers"),
        _none("wrong_lists", wrong, "users have a wrong number of rows, repeated items or gaps in their ranks"),
        _none("without_reason", _count_unexplained(table), "rows lack a reason, or are the model's without a share"),
        *_check_fallbacks(table, last, bounds),
        _check_overlap(table, kept if compare_lists else None, bounds),
        _check_concentration(table, due.items.len(), bounds.max_top_items_share),
        _check_age(due.age_days, bounds.max_catalog_age_days),
    ]


def list_faults(checks: Sequence[Check]) -> list[str]:
    """Return the failed checks in words."""
    return [f"{check.told} ({check.name} is {check.value:.4g}, {_describe_bounds(check)})"
            for check in checks if not check.passed]  # fmt: skip


def _describe_bounds(check: Check) -> str:
    low = [] if check.low is None else [f"at least {check.low:g}"]
    high = [] if check.high is None else [f"at most {check.high:g}"]
    return " and ".join(low + high) + " allowed"


def _none(name: str, count: int, told: str) -> Check:
    return Check(name, float(count), None, 0.0, f"{count} {told}")


def _check_coverage(table: pl.DataFrame, users: pl.Series, least: float) -> Check:
    served = int(users.is_in(table[USER_ID].unique().implode()).sum())
    share = served / users.len() if users.len() else 1.0
    told = f"{users.len() - served} of {users.len()} users have no recommendations"
    return Check("user_coverage", share, least, None, told)


def _check_left(name: str, last: pl.DataFrame | None, column: str, there: pl.Series, least: float) -> Check:
    """Return the check of how many of the last night's users or recommended items there are still."""
    what = name.removesuffix("_left")
    before = None if last is None else last[column].unique()
    if before is None or before.is_empty():
        return Check(name, None, least, None, "there is no earlier night to compare with")
    left = int(before.is_in(there.implode()).sum())
    told = f"{before.len() - left} of {before.len()} {what} of the night published last are gone"
    return Check(name, left / before.len(), least, None, told)


def _count_seen(table: pl.DataFrame, seen: pl.DataFrame) -> int:
    return table.join(seen.select(USER_ID, ITEM_ID).unique(), on=[USER_ID, ITEM_ID], how="semi").height


def _count_broken(table: pl.DataFrame) -> int:
    shares = [pl.col(name).fill_null(0.0).is_finite() for name in table.columns if name.startswith("share_")]
    sound = pl.all_horizontal(pl.col("score").is_not_null(), pl.col("score").is_finite(), *shares)
    return table.filter(~sound).height


def _count_unexplained(table: pl.DataFrame) -> int:
    shares = [pl.col(name).is_not_null() for name in table.columns if name.startswith("share_")]
    told = pl.when(pl.col("reason") == MODEL).then(pl.any_horizontal(shares)).otherwise(pl.col("reason").is_not_null())
    return table.filter(~told.fill_null(value=False)).height


def _count_wrong_lists(table: pl.DataFrame, due: Due) -> int:
    inside = due.seen.select(USER_ID, ITEM_ID).unique().filter(pl.col(ITEM_ID).is_in(due.items.implode()))
    known = inside.group_by(USER_ID).agg(known=pl.len())
    counts = table.group_by(USER_ID).agg(
        rows=pl.len(), items=pl.col(ITEM_ID).n_unique(), ranks=pl.col("rank").sort() == pl.int_range(1, pl.len() + 1)
    )
    counts = counts.join(known, on=USER_ID, how="left").with_columns(pl.col("known").fill_null(0))
    wanted = pl.min_horizontal(pl.lit(due.k), due.items.len() - pl.col("known"))
    wrong = (pl.col("rows") != wanted) | (pl.col("items") != pl.col("rows")) | ~pl.col("ranks").list.all()
    return counts.filter(wrong).height


def measure_fallbacks(table: pl.DataFrame) -> float:
    """Return the share of users whose rows the model did not choose; 0 for a night without users."""
    users = table.group_by(USER_ID).agg(model=(pl.col("reason") == MODEL).any())
    return float(1.0 - (users["model"].mean() or 0.0)) if users.height else 0.0  # type: ignore[operator]


def _check_fallbacks(table: pl.DataFrame, last: pl.DataFrame | None, bounds: Bounds) -> list[Check]:
    share = measure_fallbacks(table)
    rise = None if last is None else share - measure_fallbacks(last)
    told = f"{share:.2%} of users get popular items instead of the model's"
    rising = told if rise is None else f"{told}, {rise:+.2%} against the night published last"
    return [
        Check("fallback_share", share, None, bounds.max_fallback_share, told),
        Check("fallback_rise", rise, None, bounds.max_fallback_rise, rising),
    ]


def _check_overlap(table: pl.DataFrame, last: pl.DataFrame | None, bounds: Bounds) -> Check:
    value = None if last is None else measure_overlap(table, last)
    told = (
        "there is no earlier night of this model to compare with"
        if value is None
        else f"{value:.2%} of a user's items stood in the night published last"
    )
    return Check("overlap", value, bounds.min_overlap, bounds.max_overlap, told)


def measure_overlap(table: pl.DataFrame, last: pl.DataFrame) -> float | None:
    """Return the mean share of a user's items that both nights have, over users of both; None where there are none.

    The share is of the shorter list: places that items withdrawn since have left to others do not count against it.
    """
    sizes = table.group_by(USER_ID).len("now").join(last.group_by(USER_ID).len("before"), on=USER_ID)
    if sizes.is_empty():
        return None
    stays = table.join(last, on=[USER_ID, ITEM_ID], how="semi").group_by(USER_ID).len("stays")
    found = sizes.join(stays, on=USER_ID, how="left").select(
        pl.col("stays").fill_null(0) / pl.min_horizontal("now", "before")
    )
    return float(found["stays"].mean())  # type: ignore[arg-type]


def _check_concentration(table: pl.DataFrame, n_items: int, most: float) -> Check:
    chosen = table.filter(pl.col("reason") == MODEL)
    top = max(1, round(TOP_ITEMS_SHARE * n_items))
    counts = chosen.group_by(ITEM_ID).len().sort("len", descending=True)["len"]
    share = float(counts.head(top).sum()) / chosen.height if chosen.height else 0.0
    # Nobody can spread rows over more items than there are: with few items the most even night has some share as well.
    told = f"{share:.2%} of the model's rows go to the {top} items recommended most"
    return Check("top_items_share", share, None, most, told)


def _check_age(days: int | None, most: int | None) -> Check:
    told = "no interaction is known" if days is None else f"the newest known interaction is {days} days old"
    if days is None and most is not None:
        return Check("catalog_age_days", float("inf"), None, most, told)
    return Check("catalog_age_days", None if days is None else float(days), None, most, told)


def count_days(newest: int | None, day: datetime.date) -> int | None:
    """Return the days from a timestamp (seconds since 1970 UTC) to a day; None for no timestamp."""
    if newest is None:
        return None
    return (day - datetime.datetime.fromtimestamp(newest, datetime.UTC).date()).days
