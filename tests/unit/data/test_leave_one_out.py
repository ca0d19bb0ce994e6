from __future__ import annotations

import polars as pl
import pytest

from illmrec.columns import INTERACTIONS, ITEMS, NEGATIVES, SEQUENCES, TARGETS
from illmrec.data.catalog import Catalog
from illmrec.data.splitting.leave_one_out import draw_negatives, draw_popular_negatives, split_leave_one_out
from illmrec.errors import DataError


def catalog(ids: str) -> Catalog:
    rows = [(item, "", "", [], "", "", "missing") for item in ids]
    return Catalog(pl.DataFrame(rows, schema=ITEMS, orient="row"))


def table(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=INTERACTIONS, orient="row")


ROWS = table(
    [
        ("v", "c", 1), ("v", "a", 2), ("v", "d", 2),
        ("u", "d", 4), ("u", "b", 5), ("u", "a", 6), ("u", "d", 7),
        ("short", "a", 1), ("short", "b", 2),
    ]
)  # fmt: skip


def test_last_is_tested_second_last_validated_the_rest_trained() -> None:
    split = split_leave_one_out(ROWS, catalog("abcd"))
    assert split.sequences.schema == pl.Schema(SEQUENCES)
    assert split.sequences.rows() == [(0, "u", [3, 1], 0, 3), (1, "v", [2], 0, 3)]
    assert split.targets.schema == pl.Schema(TARGETS)
    assert split.targets.rows() == [(0, 3), (1, 3)]
    assert split.counts == {
        "users": 2, "items": 4, "train_interactions": 3, "users_put_aside": 1, "test_targets": 2,
    }  # fmt: skip


def test_shares_are_those_of_a_hand_count() -> None:
    shares = split_leave_one_out(ROWS, catalog("abcd")).shares
    assert shares["mean_history_length"] == 1.5
    assert shares["median_history_length"] == 1.5
    assert shares["tie_share"] == 0.5  # v's last two share second 2
    assert shares["repeat_target_share"] == 0.5  # u had d before
    assert shares["test_before_others_training_share"] == 0.5  # v's test at 2 lies before u's training at 5


def test_targets_of_others_are_no_training_interactions() -> None:
    rows = [("a", "a", 1), ("a", "b", 8), ("a", "c", 9), ("b", "a", 1), ("b", "b", 2), ("b", "c", 3)]
    shares = split_leave_one_out(table(rows), catalog("abc")).shares
    assert shares["test_before_others_training_share"] == 0.0


def test_an_item_outside_the_catalog_is_refused() -> None:
    with pytest.raises(DataError, match="'d'"):
        split_leave_one_out(ROWS, catalog("abc"))


def test_nobody_long_enough_is_refused() -> None:
    with pytest.raises(DataError, match="none of 1 users"):
        split_leave_one_out(table([("u", "a", 1), ("u", "b", 2)]), catalog("ab"))


def test_a_users_negatives_do_not_depend_on_other_users() -> None:
    items = catalog("abcdefghijkl")
    both = split_leave_one_out(ROWS, items).sequences
    alone = split_leave_one_out(ROWS.filter(pl.col("user_id") == "v"), items).sequences
    table_both, facts = draw_negatives(both, 12, 5, seed=0)
    table_alone, _ = draw_negatives(alone, 12, 5, seed=0)
    assert table_both.schema == pl.Schema(NEGATIVES)
    assert table_both.row(1)[1] == table_alone.row(0)[1]
    assert table_both.row(1)[1] != draw_negatives(both, 12, 5, seed=1)[0].row(1)[1]
    assert facts == {"negatives_per_user": 5, "users_with_fewer_negatives": 0}


def test_users_with_fewer_negatives_are_counted() -> None:
    sequences = split_leave_one_out(ROWS, catalog("abcde")).sequences
    negatives, facts = draw_negatives(sequences, 5, 2, seed=0)
    assert negatives["negatives"].list.len().to_list() == [2, 2]
    assert draw_negatives(sequences, 5, 3, seed=0)[1]["users_with_fewer_negatives"] == 2
    assert facts["users_with_fewer_negatives"] == 0


def test_popular_negatives_are_no_items_of_the_user_and_come_from_training() -> None:
    sequences = split_leave_one_out(ROWS, catalog("abcdefgh")).sequences
    negatives, facts = draw_popular_negatives(sequences, 8, 3, seed=0)
    assert negatives.schema == pl.Schema(NEGATIVES)
    # Trained are d, b of u and c of v; u has a as well, v has a and d.
    assert negatives["negatives"].to_list() == [[2], [1]]
    assert facts == {"users_with_fewer_popular_negatives": 2}


def test_negatives_leave_out_every_target_where_there_are_more() -> None:
    sequences = split_leave_one_out(ROWS, catalog("abcdefgh")).sequences
    targets = pl.DataFrame([(0, 3), (0, 4), (0, 5), (1, 6)], schema=TARGETS, orient="row")
    negatives, _ = draw_negatives(sequences, 8, 8, seed=0, targets=targets)
    assert [sorted(row) for row in negatives["negatives"].to_list()] == [[2, 6, 7], [1, 3, 4, 5, 7]]
