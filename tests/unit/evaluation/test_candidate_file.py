from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from illmrec.columns import ITEMS
from illmrec.data.catalog import Catalog
from illmrec.data.histories import pack_rows
from illmrec.errors import DataError
from illmrec.evaluation.candidate_file import GivenCandidates, read_candidates
from illmrec.evaluation.protocol import Cases

ITEM_IDS = [str(number) for number in range(10, 20)]
CATALOG = Catalog(pl.DataFrame([(item, "", "", [], "", "", "ok") for item in ITEM_IDS], schema=ITEMS, orient="row"))
USERS = ["a", "b", "c", "d"]
# c has no target. Items are indices: 0 is "10".
CASES = Cases(np.array([0, 1, 3]), pack_rows([[0, 1], [5], [2]]), pack_rows([[2], [1, 6], [3]]))


def read(path: Path) -> GivenCandidates:
    return read_candidates(path, CASES, USERS, CATALOG)


def write(folder: Path, *lines: str, name: str = "candidates.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "note,user_id,item_id",
        "good,a,19",
        "good,a,14",
        "the target,a,12",
        "history,a,10",
        "twice,a,19",
        "unknown item,a,99",
        "unknown user,nobody,14",
        "unknown both,nobody,99",
        "no target,c,14",
        "good,b,10",
        "one of two targets,b,16",
    )
    given = read(path)
    assert [given.pool[user].tolist() for user in range(3)] == [[4, 9], [0], []]
    assert given.named.tolist() == [True, True, False]
    assert given.counts == {
        "rows": 11,
        "rows_of_unknown_users": 2,
        "rows_of_unknown_items": 1,
        "rows_of_users_without_target": 1,
        "rows_repeated": 1,
        "rows_in_history": 1,
        "users": 2,
        "users_without_candidates": 1,
        "targets_named": 2,
    }


def test_parquet_with_numbers_says_the_same_as_csv(tmp_path: Path) -> None:
    path = tmp_path / "candidates.parquet"
    pl.DataFrame({"item_id": [19, 14, 99], "user_id": ["a", "b", "a"]}).write_parquet(path)
    given = read(path)
    assert [given.pool[user].tolist() for user in range(3)] == [[9], [4], []]
    assert given.counts["rows_of_unknown_items"] == 1


@pytest.mark.parametrize(
    ("name", "lines", "message", "row"),
    [
        ("c.csv", ("user_id,item_id", "a,19", ",14"), "lacks user_id or item_id", 2),
        ("c.csv", ("user_id,item_id", "a,"), "lacks user_id or item_id", 1),
        ("c.csv", ("user,item_id", "a,19"), "lacks the columns user_id; it has user, item_id", None),
        ("c.csv", ("user_id,item_id", "a,19,extra"), "is not readable", None),
        ("c.csv", (), "is not readable|lacks the columns", None),
        ("c.parquet", ("no Parquet",), "is not readable", None),
        ("c.txt", ("user_id,item_id", "a,19"), "ends in '.txt'", None),
        ("c.csv", ("user_id,item_id", "nobody,19", "a,12"), "names no candidate", None),
    ],
)
def test_bad_files_are_refused(
    tmp_path: Path, name: str, lines: tuple[str, ...], message: str, row: int | None
) -> None:
    path = write(tmp_path, *lines, name=name)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.row == row
    assert caught.value.hint


def test_a_missing_file_and_a_column_of_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file of candidates") as caught:
        read(tmp_path / "candidates.csv")
    assert "evaluate.candidates" in caught.value.hint
    path = tmp_path / "candidates.parquet"
    pl.DataFrame({"user_id": ["a"], "item_id": [1.5]}).write_parquet(path)
    with pytest.raises(DataError, match="'item_id' is Float64"):
        read(path)
