"""Ids as numbers: each id one number, and the same whichever blocks it comes in."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from illmrec.data.files import ids
from illmrec.data.files.coded import InteractionCoder, code_interactions
from illmrec.data.files.ids import IdTable
from illmrec.errors import DataError


def test_an_id_keeps_its_number_over_blocks() -> None:
    table = IdTable()
    assert table.encode(pl.Series(["b", "a", "b"])).tolist() == [0, 1, 0]
    assert table.encode(pl.Series(["c", "a", "c", "b"])).tolist() == [2, 1, 2, 0]
    assert table.ids.to_list() == ["b", "a", "c"]
    assert len(table) == 3


def test_long_ids_that_differ_in_one_letter_are_told_apart() -> None:
    names = [f"{'f' * 60}{n:04}" for n in range(5000)]
    codes = IdTable().encode(pl.Series(names + names[::-1]))
    assert codes.tolist() == [*range(5000), *reversed(range(5000))]


def test_two_ids_with_one_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    original = pl.Series.hash

    def weak(self: pl.Series, seed: int = 0) -> pl.Series:
        return original(self, seed) if seed == ids._SEEDS[1] else pl.Series([7] * len(self), dtype=pl.UInt64)

    monkeypatch.setattr(pl.Series, "hash", weak)
    table = IdTable()
    table.encode(pl.Series(["a", "a"]))
    with pytest.raises(DataError, match="same hash"):
        table.encode(pl.Series(["b"]))
    with pytest.raises(DataError, match="same hash"):
        IdTable().encode(pl.Series(["a", "b"]))


def test_codes_follow_the_order_of_ids_and_not_of_rows() -> None:
    rows = [("v", "y", 1), ("u", "z", 2), ("v", "x", 3)]
    coded = code_interactions(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    assert coded.user_ids.to_list() == ["u", "v"]
    assert coded.item_ids.to_list() == ["x", "y", "z"]
    assert (coded.users.tolist(), coded.items.tolist()) == ([1, 0, 1], [1, 2, 0])
    assert coded.decode().rows() == rows


def test_ids_of_rejected_rows_are_not_ids_of_the_catalog() -> None:
    gathering = InteractionCoder("f.csv", user="customer")
    users = pl.Series(["u", "lost", None, "v\x07", "w" * 1000, "a\nb", "u"])
    gathering.add(users, pl.Series(["i"] * 7), pl.Series([1, None, 1, 1, 1, 1, -5]), rows=np.arange(2, 9))
    coded, rejected = gathering.finish()
    assert coded.decode().rows() == [("u", "i", 1)]
    assert coded.user_ids.to_list() == ["u"]
    assert rejected.rows() == [
        ("f.csv", 3, "timestamp missing or not readable"),
        ("f.csv", 4, "no customer"),
        ("f.csv", 5, "control character in an id"),
        ("f.csv", 6, "id too long"),
        ("f.csv", 7, "line break in an id"),
        ("f.csv", 8, "timestamp out of range"),
    ]
