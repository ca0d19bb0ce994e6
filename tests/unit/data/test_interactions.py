from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from illmrec.columns import INTERACTIONS
from illmrec.data.files.coded import CodedInteractions, code_interactions
from illmrec.data.interactions import CoreInteractions, _find_first, _find_order, _hash_pairs, select_core
from illmrec.errors import DataError


def table(rows: list[tuple[str, str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=INTERACTIONS, orient="row")


def select(rows: list[tuple[str, str, int]], core: int = 1, **options) -> CoreInteractions:
    settings = {"repeats": "first", "user_core": core, "item_core": core, "seed": 0} | options
    return select_core(code_interactions(table(rows)), **settings)


def test_rows_come_in_history_order_whatever_the_file_order() -> None:
    rows = [("u2", "a", 5), ("u1", "b", 9), ("u1", "a", 3), ("u2", "c", 1)]
    expected = [("u1", "a", 3), ("u1", "b", 9), ("u2", "c", 1), ("u2", "a", 5)]
    assert select(rows).core.rows() == expected
    assert select(rows[::-1]).core.rows() == expected


def test_duplicates_and_repeats_are_counted_apart() -> None:
    rows = [("u", "a", 1), ("u", "a", 1), ("u", "a", 7), ("u", "b", 2), ("u", "a", 1)]
    first = select(rows)
    assert first.core.rows() == [("u", "a", 1), ("u", "b", 2)]
    assert first.counts["duplicate_interactions_dropped"] == 2
    assert first.counts["repeated_interactions_dropped"] == 1
    every = select(rows, repeats="all")
    assert every.core.rows() == [("u", "a", 1), ("u", "b", 2), ("u", "a", 7)]
    assert every.counts["repeated_interactions_dropped"] == 0


def test_ties_are_ordered_by_a_seeded_hash_and_not_by_item_id() -> None:
    items = [f"i{n:02}" for n in range(30)]
    rows = [(user, item, 100) for user in ("u", "v") for item in items]
    orders = {
        (seed, user): select(rows, seed=seed).core.filter(pl.col("user_id") == user)["item_id"].to_list()
        for seed in (0, 1)
        for user in ("u", "v")
    }
    assert all(sorted(order) == items and order != items for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 4
    assert select(rows[::-1]).core.rows() == select(rows).core.rows()


def test_tie_order_of_a_user_does_not_depend_on_other_users() -> None:
    mine = [("u", f"i{n}", 5) for n in range(10)]
    others = [("a", "extra", 1), ("z", "i3", 2)]
    together = select(mine + others).core.filter(pl.col("user_id") == "u")
    assert together.rows() == select(mine).core.rows()


def test_tie_order_never_changes_between_releases() -> None:
    rows = [("u", item, 5) for item in "abcdef"]
    assert "".join(select(rows).core["item_id"]) == "adefbc"


def test_core_and_below_share_out_every_kept_row() -> None:
    rows = [(u, i, t) for t, (u, i) in enumerate((u, i) for u in "uvw" for i in "abc")] + [
        ("x", "a", 50),
        ("u", "d", 51),
    ]
    chosen = select(rows, core=3)
    assert chosen.below.rows() == [("u", "d", 51), ("x", "a", 50)]
    assert chosen.core.height == 9
    counts = chosen.counts
    assert counts["interactions"] + counts["interactions_below_core"] == counts["interactions_before_core"] == 11
    assert (counts["users"], counts["items"]) == (3, 3)
    assert (counts["users_with_interactions"], counts["items_with_interactions"]) == (4, 4)


def test_tie_share_counts_every_member_of_a_tie() -> None:
    rows = [("u", "a", 1), ("u", "b", 1), ("u", "c", 1), ("u", "d", 2), ("v", "a", 1)]
    assert select(rows).tie_share == pytest.approx(3 / 5)


def test_empty_core_names_the_largest_that_is_not() -> None:
    rows = [(u, i, 1) for u in "uvw" for i in "abc"]
    with pytest.raises(DataError, match=r"user_core 5 and item_core 5 leaves nothing of 9.*3 users, 3 items.* is 3"):
        select(rows, core=5)


def test_no_interactions_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no interactions"):
        select([])


def test_order_is_that_of_a_plain_sort_even_where_keys_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows = table([(f"u{u}", f"i{i}", int(t)) for u, i, t in rng.integers(0, 9, (400, 3))])
    coded = code_interactions(rows)
    ties = _hash_pairs(coded, 5)
    plain = np.lexsort((coded.items, ties, coded.times, coded.users))
    for bits in (64, 10, 5):  # all of the hash, two bits of it, none
        monkeypatch.setattr("illmrec.data.interactions.KEY_BITS", bits)
        ordered = coded.select(_find_order(coded, 5))
        assert ordered.decode().equals(coded.select(plain).decode()), bits
        expected = rows_first(ordered)
        assert _find_first(ordered.users, ordered.items).tolist() == expected, bits


def rows_first(coded: CodedInteractions) -> list[bool]:
    seen: set[tuple[int, int]] = set()
    pairs = list(zip(coded.users.tolist(), coded.items.tolist(), strict=True))
    return [not (pair in seen or seen.add(pair)) for pair in pairs]


def test_a_sample_of_users_grows_and_forgets_the_rest() -> None:
    rows = [(f"u{number:03}", f"i{number % 7}", number) for number in range(300)]
    whole = code_interactions(table([*rows, ("u001", "x", 1)]))
    small, large = (whole.sample_users(count, seed=0) for count in (40, 90))
    assert (len(small.user_ids), len(large.user_ids)) == (40, 90)
    assert set(small.user_ids) < set(large.user_ids)
    kept = [row for row in whole.decode().rows() if row[0] in set(small.user_ids)]
    assert small.decode().rows() == kept
    assert set(small.item_ids) == {row[1] for row in kept}
    assert small.user_ids.to_list() == sorted(small.user_ids)
    assert whole.sample_users(300, seed=0) is whole
    assert set(whole.sample_users(40, seed=1).user_ids) != set(small.user_ids)


def test_who_is_in_a_sample_does_not_depend_on_who_else_is_there() -> None:
    rows = [(f"u{number:03}", "i", number) for number in range(300)]
    chosen = set(code_interactions(table(rows)).sample_users(100, seed=0).user_ids)
    fewer = [row for row in rows if row[0] in chosen or int(row[0][1:]) < 250]
    assert chosen == set(code_interactions(table(fewer)).sample_users(100, seed=0).user_ids)
