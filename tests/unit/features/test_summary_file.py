from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from illmrec.errors import DataError
from illmrec.features.summarizing.file import GivenSummaries, read_summaries

ITEMS = {"007", "8", "c,d"}


def read(folder: Path, text: str, name: str = "summaries.csv") -> GivenSummaries:
    (folder / name).write_text(text, encoding="utf-8")
    return read_summaries(folder / name, ITEMS)


GOOD = (
    'note,item_id,summary\nx,007,"A lamp, <b>blue</b>"\nx,other,A pan\n\nx,"c,d",Two&nbsp;cups\nx,8,\nx,other,A pan\n'
)
EXPECTED = GivenSummaries({"007": "A lamp, blue", "c,d": "Two cups"}, unknown=2)


def test_csv_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == EXPECTED
    assert read(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n")) == EXPECTED
    (tmp_path / "s.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    assert read_summaries(tmp_path / "s.csv.gz", ITEMS) == EXPECTED


def test_parquet_ids_may_be_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    pl.DataFrame({"item_id": [8, 9, 10], "summary": ["A <i>pan</i>", "x", None], "more": [1, 2, 3]}).write_parquet(path)
    assert read_summaries(path, ITEMS) == GivenSummaries({"8": "A pan"}, unknown=2)


def test_a_summary_of_any_length_is_cleaned_in_bounds(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": ["8"], "summary": ["<" * 3_000_000]}).write_parquet(tmp_path / "s.parquet")
    assert len(read_summaries(tmp_path / "s.parquet", ITEMS).texts["8"]) == 20_000


BAD = {
    "no header": ("007,A lamp\n", None, "lacks the column 'item_id', 'summary'"),
    "a column missing": ("item_id,text\n8,A\n", None, "lacks the column 'summary'; it has 'item_id', 'text'"),
    "a column twice": ("item_id,summary,summary\n8,A,B\n", None, "more than once"),
    "empty": ("", None, "is empty"),
    "a field too many": ("item_id,summary\n8,A lamp, blue\n", 2, "has not 2 fields"),
    "a field too few": ("item_id,summary\n8,A\n007\n", 3, "has not 2 fields"),
    "no id": ("item_id,summary\n8,A\n ,B\n", 3, "has no item_id"),
    "an id twice": ("item_id,summary\n8,A\nx,B\n8,A\n", 4, "'8' stands in row 2 already"),
    "an open quote": ('item_id,summary\n8,"A\n', None, "quote"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_with_a_csv_file_is_named(case: str, tmp_path: Path) -> None:
    text, row, message = BAD[case]
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value) + caught.value.hint
    assert str(tmp_path / "summaries.csv") in str(caught.value)
    assert row in (None, caught.value.row)
    assert caught.value.hint or case == "a column twice"


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"item_id,summary\n8,caf\xe9\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_summaries(tmp_path / "s.csv", ITEMS)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pl.DataFrame({"item_id": ["8"]}), "lacks the column 'summary'"),
        (pl.DataFrame({"item_id": [0.5], "summary": ["x"]}), "'item_id' is Float64, expected text or whole numbers"),
        (pl.DataFrame({"item_id": ["8"], "summary": [1]}), "'summary' is Int64, expected text"),
        (pl.DataFrame({"item_id": ["8", None], "summary": ["x", "y"]}), "row 2: has no item_id"),
        (pl.DataFrame({"item_id": ["8", "8"], "summary": ["x", "y"]}), "row 2: item_id '8' stands in row 1 already"),
    ],
)
def test_what_is_wrong_with_a_parquet_file_is_named(table: pl.DataFrame, message: str, tmp_path: Path) -> None:
    table.write_parquet(tmp_path / "s.parquet")
    with pytest.raises(DataError) as caught:
        read_summaries(tmp_path / "s.parquet", ITEMS)
    assert message in str(caught.value)
    assert caught.value.hint


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    for name, message in (
        ("none.csv", "no file of summaries"),
        ("s.xlsx", "ends in '.xlsx'"),
        ("s.parquet", "Parquet"),
    ):
        if name != "none.csv":
            (tmp_path / name).write_bytes(b"PK\x03\x04 and more")
        with pytest.raises(DataError, match=message) as caught:
            read_summaries(tmp_path / name, ITEMS)
        assert caught.value.hint
    with pytest.raises(DataError, match="no file of summaries"):
        read_summaries(tmp_path, ITEMS)
