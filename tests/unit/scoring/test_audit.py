"""Each check of the audit: a sound night passes, and a planted fault fails that check."""

import datetime
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from illmrec.scoring.audit import Bounds, Due, audit_recommendations, count_days, list_faults
from illmrec.scoring.output import RECOMMENDATIONS

USERS = [f"u{number}" for number in range(10)]
ITEMS = [f"i{number:02d}" for number in range(30)]
K = 4
BOUNDS = Bounds(0.999, 0.5, 0.05, 0.5, 1.0, 0.5, 30)


def make_night(shift: int = 0) -> pl.DataFrame:
    rows = []
    for number, user in enumerate(USERS):
        for rank in range(1, K + 1):
            item = ITEMS[10 + (number + rank + shift) % 20]
            rows.append((user, rank, item, 1.0 / rank, 0.5 / rank, None, 0.5 / rank, "model", False, False, "m/1"))
    return pl.DataFrame(rows, schema=RECOMMENDATIONS, orient="row")


SEEN = pl.DataFrame({"user_id": USERS, "item_id": ITEMS[:10]})
DUE = Due(pl.Series(USERS), pl.Series(ITEMS), SEEN, K, 3)


def failed(table: pl.DataFrame, due: Due = DUE, bounds: Bounds = BOUNDS, **more: Any) -> set[str]:
    return {check.name for check in audit_recommendations(table, due, bounds, **more) if not check.passed}


def test_a_sound_night_passes_every_check() -> None:
    assert failed(make_night(), last=make_night()) == set()


def put(column: str, value: Any, *, users: int = 1, rank: int | None = 1) -> Callable[[pl.DataFrame], pl.DataFrame]:
    def change(table: pl.DataFrame) -> pl.DataFrame:
        here = pl.col("user_id").is_in(USERS[:users])
        here = here if rank is None else here & (pl.col("rank") == rank)
        wanted = pl.lit(value, dtype=RECOMMENDATIONS[column])
        return table.with_columns(pl.when(here).then(wanted).otherwise(pl.col(column)).alias(column))

    return change


FAULTS: dict[str, tuple[str, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "a user is left out": ("user_coverage", lambda table: table.filter(pl.col("user_id") != "u3")),
    "a user nobody asked for": ("unknown_users", put("user_id", "stranger", rank=None)),
    "an item outside the catalog": ("outside_catalog", put("item_id", "elsewhere")),
    "an item the user has": ("already_seen", put("item_id", ITEMS[0])),
    "a score that is no number": ("not_finite", put("score", float("nan"))),
    "an infinite share": ("not_finite", put("share_text", float("inf"))),
    "a row is missing": ("wrong_lists", lambda table: table.filter(pl.Series(range(table.height)) != 3)),
    "an item twice": ("wrong_lists", put("item_id", ITEMS[12])),
    "a rank twice": ("wrong_lists", put("rank", 2)),
    "no reason": ("without_reason", put("reason", None)),
    "no share": ("without_reason", lambda table: put("share_image", None)(put("share_text", None)(table))),
    "most users fall back": ("fallback_share", put("reason", "cold_user_popularity", users=6, rank=None)),
    "more users fall back than last time": ("fallback_rise", put("reason", "cold_user_popularity", rank=None)),
    "other lists than last time": ("overlap", lambda _: make_night(shift=10)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_fails_its_check(fault: str) -> None:
    name, plant = FAULTS[fault]
    found = failed(plant(make_night()), last=make_night())
    assert name in found, found


def test_the_same_items_for_everybody_are_noticed() -> None:
    item = pl.lit("i15").alias("item_id")
    first = make_night().filter(pl.col("rank") == 1)
    assert "top_items_share" in failed(first.with_columns(item), replace(DUE, k=1))
    assert "top_items_share" not in failed(first, replace(DUE, k=1))


def test_a_night_that_repeats_the_last_one_can_be_refused() -> None:
    assert "overlap" in failed(make_night(), bounds=replace(BOUNDS, max_overlap=0.99), last=make_night())


@pytest.mark.parametrize(("age", "fails"), [(30, False), (31, True), (None, True)])
def test_an_old_catalog_is_noticed(age: int | None, fails: bool) -> None:
    assert ("catalog_age_days" in failed(make_night(), replace(DUE, age_days=age))) == fails


def test_age_without_a_bound_is_only_told() -> None:
    bounds = replace(BOUNDS, max_catalog_age_days=None)
    checks = {check.name: check for check in audit_recommendations(make_night(), replace(DUE, age_days=4000), bounds)}
    assert checks["catalog_age_days"].value == 4000.0
    assert checks["catalog_age_days"].passed


def test_users_and_items_of_the_last_night_that_are_gone_are_noticed() -> None:
    # Half of the users are known no more, and 7 of the 13 items that were recommended; every one who is known has rows.
    kept = replace(DUE, users=DUE.users.head(5), items=DUE.items.head(17))
    few = Due(kept.users, kept.items, SEEN.head(5), K, 3)
    table = make_night().filter(pl.col("user_id").is_in(USERS[:5])).with_columns(item_id=pl.lit(ITEMS[12]))
    bounds = replace(BOUNDS, min_users_left=0.6, min_items_left=0.6)
    assert {"users_left", "items_left"} <= failed(table, few, bounds, last=make_night())
    found = {check.name: check for check in audit_recommendations(table, few, bounds, last=make_night())}
    assert found["users_left"].value == pytest.approx(0.5)
    assert found["users_left"].told == "5 of 10 users of the night published last are gone"
    assert found["items_left"].value == pytest.approx(6 / 13)
    assert not {"users_left", "items_left"} & failed(table, few, bounds), "nothing to compare with"


def test_the_first_night_and_another_model_are_compared_with_nothing() -> None:
    other = make_night(shift=10)
    assert failed(other) == set()
    assert failed(other, last=make_night(), compare_lists=False) == set()


def test_a_user_who_has_nearly_everything_is_due_fewer_rows() -> None:
    seen = pl.concat([SEEN, pl.DataFrame({"user_id": ["u0"] * 29, "item_id": ITEMS[1:]})])
    short = make_night().filter(pl.col("user_id") != "u0")
    due = replace(DUE, seen=seen.filter(~((pl.col("user_id") == "u0") & (pl.col("item_id") == "i29"))))
    row = make_night().filter((pl.col("user_id") == "u0") & (pl.col("rank") == 1)).with_columns(item_id=pl.lit("i29"))
    assert failed(pl.concat([short, row]), due) == set()
    assert "wrong_lists" in failed(pl.concat([short, row]))


def test_faults_are_told_with_value_and_bound() -> None:
    table = make_night().filter(pl.col("user_id") != "u3")
    assert list_faults(audit_recommendations(table, DUE, BOUNDS)) == [
        "1 of 10 users have no recommendations (user_coverage is 0.9, at least 0.999 allowed)"
    ]


def test_days_are_counted_from_the_newest_interaction() -> None:
    midnight = int(datetime.datetime(2026, 1, 30, tzinfo=datetime.UTC).timestamp())
    assert count_days(midnight - 1, datetime.date(2026, 1, 31)) == 2
    assert count_days(midnight, datetime.date(2026, 1, 31)) == 1
    assert count_days(None, datetime.date(2026, 1, 31)) is None


def test_withdrawn_items_are_not_missed() -> None:
    withdrawn = pl.Series(ITEMS[10:22], dtype=pl.String)
    night = make_night().with_columns(
        item_id=pl.when(pl.col("item_id").is_in(withdrawn.implode()))
        .then(pl.lit("i0") + pl.col("rank").cast(pl.String))
        .otherwise("item_id")
    )
    due = replace(DUE, items=DUE.items.filter(~DUE.items.is_in(withdrawn.implode())))
    compared = {"overlap", "items_left"}
    bounds = replace(BOUNDS, min_items_left=0.9, min_overlap=0.9)
    assert compared <= failed(night, due, bounds, last=make_night()), "as if the feed had lost them"
    assert not compared & failed(night, replace(due, withdrawn=withdrawn), bounds, last=make_night())
