from __future__ import annotations

import numpy as np
import polars as pl

from illmrec.data.histories import Sequences, pack_rows, ragged_from_column, read_sequences

ROWS = [[3, 1], [], [7], [2, 2, 5], []]


def test_rows_come_back_as_they_were_packed() -> None:
    packed = pack_rows(ROWS)
    assert len(packed) == 5
    assert [packed[row].tolist() for row in range(5)] == ROWS
    assert packed.lengths.tolist() == [2, 0, 1, 3, 0]
    assert packed.values.dtype == np.int32


def test_stretches_hold_every_item_often_enough() -> None:
    rows = pack_rows([[], [4], [1, 2, 3], list(range(10, 20))])
    rng = np.random.default_rng(0)
    held = np.zeros(10, dtype=np.int64)
    for _ in range(1200):
        stretches = rows.draw_stretches(3, rng)
        assert [stretches[row].tolist() for row in range(3)] == [[], [4], [1, 2, 3]]
        first = int(stretches[3][0])
        assert stretches[3].tolist() == [first, first + 1, first + 2]
        held[first - 10 : first - 7] += 1
    # Of 12 places, three hold an item in the middle and at the very end; those beside the ends are in more.
    assert np.abs(held[[0, 3, 4, 5, 6, 9]] - 300).max() < 60
    assert held[[1, 2, 7, 8]].min() > 300


def test_nothing_packs_to_nothing() -> None:
    assert len(pack_rows([])) == 0
    assert [pack_rows([[], []])[row].tolist() for row in range(2)] == [[], []]


def test_a_list_column_becomes_rows() -> None:
    packed = ragged_from_column(pl.Series("x", ROWS, dtype=pl.List(pl.Int32)))
    assert [packed[row].tolist() for row in range(5)] == ROWS
    empty = ragged_from_column(pl.Series("x", [[], []], dtype=pl.List(pl.Int32)))
    assert empty.lengths.tolist() == [0, 0]


def make(rows: list[list[int]]) -> Sequences:
    table = pl.DataFrame(
        {"user_index": range(len(rows)), "user_id": [f"u{n}" for n in range(len(rows))], "train": rows,
         "valid": [10 + n for n in range(len(rows))], "test": [20 + n for n in range(len(rows))]},
        schema_overrides={"train": pl.List(pl.Int32)},
    )  # fmt: skip
    return read_sequences(table)


def test_what_is_known_before_each_target() -> None:
    sequences = make(ROWS)
    assert len(sequences) == 5
    valid, test = sequences.histories("valid"), sequences.histories("test")
    assert [valid[row].tolist() for row in range(5)] == ROWS
    assert [test[row].tolist() for row in range(5)] == [[*row, 10 + n] for n, row in enumerate(ROWS)]
    assert test.values.dtype == np.int32
    assert sequences.test.tolist() == [20, 21, 22, 23, 24]
