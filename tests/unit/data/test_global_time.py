from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from illmrec.columns import INTERACTIONS, ITEMS, SEQUENCES, TARGETS
from illmrec.data.catalog import Catalog
from illmrec.data.histories import read_sequences
from illmrec.data.splitting.global_time import choose_cutoff, name_moment, split_global_time
from illmrec.errors import DataError


def catalog(ids: str) -> Catalog:
    rows = [(item, "", "", [], "", "", "missing") for item in ids]
    return Catalog(pl.DataFrame(rows, schema=ITEMS, orient="row"))


def table(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=INTERACTIONS, orient="row")


ROWS = table(
    [
        ("early", "a", 1), ("early", "b", 2), ("early", "c", 3),
        ("late", "a", 9), ("late", "b", 10), ("late", "c", 11),
        ("new", "d", 4), ("new", "a", 12),
        ("u", "a", 3), ("u", "b", 5), ("u", "c", 7), ("u", "b", 8), ("u", "a", 9), ("u", "a", 10),
        ("v", "b", 1), ("v", "c", 7), ("v", "e", 8), ("v", "d", 9), ("v", "a", 9),
    ]
)  # fmt: skip


def test_what_lies_before_is_learned_from_and_what_lies_after_is_tested() -> None:
    split = split_global_time(ROWS, catalog("abcde"), 8)
    assert split.sequences.schema == pl.Schema(SEQUENCES)
    assert split.targets.schema == pl.Schema(TARGETS)
    # Before second 8: early has a b c, u has a b c, v has b c. Nobody of them had d or e then.
    assert split.sequences.rows() == [(0, "early", [0, 1], 2, None), (1, "u", [0, 1], 2, 1), (2, "v", [1], 2, 0)]
    assert split.targets.rows() == [(1, 1), (1, 0), (2, 0)]
    assert split.counts == {
        "users": 3,
        "items": 5,
        "train_interactions": 5,
        "users_put_aside": 2,
        "test_targets": 3,
        "users_with_targets": 2,
        "later_interactions_put_aside": 3,  # u's second a, v's e and d
    }
    assert split.shares["mean_history_length"] == pytest.approx(5 / 3)
    assert split.shares["repeat_target_share"] == pytest.approx(2 / 3)
    assert split.shares["test_before_others_training_share"] == 0.0


def test_a_user_without_targets_has_none_when_read_back() -> None:
    sequences = read_sequences(split_global_time(ROWS, catalog("abcde"), 8).sequences)
    assert sequences.test.tolist() == [-1, 1, 0]
    assert [sequences.histories("test")[user].tolist() for user in range(3)] == [[0, 1, 2], [0, 1, 2], [1, 2]]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_nothing_learned_from_is_as_late_as_any_target(share: float) -> None:
    rng = np.random.default_rng(1)
    rows = sorted(
        (f"u{user:02}", f"{item:02}", int(second))
        for user in range(40)
        for item, second in zip(rng.permutation(30)[:12], np.sort(rng.integers(0, 500, 12)), strict=True)
    )
    interactions = table(rows).sort("user_id", "timestamp")
    ids = [f"{item:02}" for item in range(30)]
    items = Catalog(pl.DataFrame([(i, "", "", [], "", "", "missing") for i in ids], schema=ITEMS, orient="row"))
    cutoff = choose_cutoff(interactions, share)
    later = (interactions["timestamp"] >= cutoff).mean()
    assert share <= later < share + 0.02
    split = split_global_time(interactions, items, cutoff)
    when = {(user, item): second for user, item, second in interactions.rows()}
    users = split.sequences["user_id"].to_list()
    for user, row in zip(users, split.sequences.rows(named=True), strict=True):
        assert all(when[user, ids[item]] < cutoff for item in [*row["train"], row["valid"]])
        assert [ids[item] for item in [*row["train"], row["valid"]]] == interactions.filter(
            (pl.col("user_id") == user) & (pl.col("timestamp") < cutoff)
        )["item_id"].to_list()
    assert split.targets.height > 20
    for user, item in split.targets.rows():
        assert when[users[user], ids[item]] >= cutoff


@pytest.mark.parametrize("cutoff", [0, 2, 100])
def test_a_moment_that_leaves_nothing_to_test_is_refused(cutoff: int) -> None:
    with pytest.raises(DataError, match="1970-01-01 00:00:01 UTC and 1970-01-01 00:00:12 UTC") as caught:
        split_global_time(ROWS, catalog("abcde"), cutoff)
    assert "split.cutoff" in caught.value.hint


def test_moments_are_named_in_utc() -> None:
    assert name_moment(1_400_000_000) == "2014-05-13 16:53:20 UTC"
