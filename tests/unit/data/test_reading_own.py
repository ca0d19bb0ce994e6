from __future__ import annotations

import gzip
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from illmrec.data.raw import RawCatalog
from illmrec.data.readers import read_raw
from illmrec.errors import DataError

INTERACTIONS = "user_id,item_id,timestamp\nu1,007,5\nu2,b,6\n"


def read(folder: Path, interactions: str | bytes = INTERACTIONS, items: str | None = None) -> RawCatalog:
    content = interactions if isinstance(interactions, bytes) else interactions.encode()
    (folder / "interactions.csv").write_bytes(content)
    if items is not None:
        (folder / "items.csv").write_text(items, encoding="utf-8")
    return read_raw("own", folder)


def test_ids_stay_text(tmp_path: Path) -> None:
    assert read(tmp_path).interactions.decode().rows() == [("u1", "007", 5), ("u2", "b", 6)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1583280000", 1583280000),
        (" 7 ", 7),
        ("2020-03-04", 1583280000),
        ("2020-03-04 01:00:00", 1583283600),
        ("2020-03-04T01:00:00", 1583283600),
        ("2020-03-04T01:00:00.9", 1583283600),
        ("2020-03-04T01:00:00Z", 1583283600),
        ("2020-03-04T01:00:00+02:00", 1583276400),
        ("04.03.2020", None),
        ("1.5", None),
        ("", None),
        ("99999999999999999999", None),
        ("-1", None),
        ("1583280000000", None),
    ],
)
def test_timestamps_are_seconds_or_iso(tmp_path: Path, text: str, seconds: int | None) -> None:
    raw = read(tmp_path, f"user_id,item_id,timestamp\nu,i,{text}\nu,j,1\n")
    times = dict(raw.interactions.decode().select("item_id", "timestamp").rows())
    assert times.get("i") == seconds
    assert raw.rejected.height == (seconds is None)


def test_columns_may_stand_in_any_order_with_others_between(tmp_path: Path) -> None:
    text = "\ufefftimestamp,rating,item_id,user_id\r\n5,4.0,i,u\r\n"
    assert read(tmp_path, text).interactions.decode().rows() == [("u", "i", 5)]


def test_gzip_reads_as_plain(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "interactions.csv.gz", "wt") as file:
        file.write("\ufeff" + INTERACTIONS)
    with gzip.open(tmp_path / "items.csv.gz", "wt") as file:
        file.write("item_id,title\nb,Mug\n")
    raw = read_raw("own", tmp_path)
    assert len(raw.interactions) == 2
    assert raw.items["title"].to_list() == ["Mug"]


@pytest.mark.parametrize("times", [[5, 6], [datetime(1970, 1, 1, 0, 0, 5), datetime(1970, 1, 1, 0, 0, 6)], ["5", "6"]])
def test_parquet_reads_as_csv(tmp_path: Path, times: list) -> None:
    table = pl.DataFrame({"user_id": [1, 2], "item_id": ["007", "b"], "timestamp": times})
    table.write_parquet(tmp_path / "interactions.parquet")
    items = pl.DataFrame({"item_id": ["b", None], "category": [["A", "B"], []]})
    items.write_parquet(tmp_path / "items.parquet")
    raw = read_raw("own", tmp_path)
    assert raw.interactions.decode().rows() == [("1", "007", 5), ("2", "b", 6)]
    assert raw.items.rows() == [("b", None, None, ["A", "B"], None)]
    assert raw.rejected.rows() == [("items.parquet", 2, "no item")]


def test_parquet_dates_are_midnights(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [date(1970, 1, 2)]})
    table.write_parquet(tmp_path / "interactions.parquet")
    assert read_raw("own", tmp_path).interactions.times.tolist() == [86400]


def test_parquet_ids_that_are_fractions_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1.0], "item_id": ["i"], "timestamp": [1]}).write_parquet(
        tmp_path / "interactions.parquet"
    )
    with pytest.raises(DataError, match="'user_id' is Float64"):
        read_raw("own", tmp_path)


def test_items_need_only_their_id(tmp_path: Path) -> None:
    raw = read(tmp_path, items='item_id,category,title\nb,A > B > C,"Mug, ""blue"""\n007,,\n')
    assert raw.items.rows() == [("b", 'Mug, "blue"', None, ["A", "B", "C"], None), ("007", "", None, [""], None)]
    assert raw.warnings == ()


def test_missing_items_are_said(tmp_path: Path) -> None:
    raw = read(tmp_path)
    assert raw.items.is_empty()
    assert "items.csv is missing" in raw.warnings[0]


def test_malformed_rows_are_set_aside_with_their_line(tmp_path: Path) -> None:
    raw = read(
        tmp_path,
        "user_id,item_id,timestamp\n,i,1\nu,,1\nu,i\nu,i,1,2\n\n" + '"u\nv",i,1\n' + "u,i,1\n",
        "item_id,title\n,nobody\nb,Mug,extra\nc,Cup\n",
    )
    assert raw.interactions.decode().rows() == [("u", "i", 1)]
    assert raw.rejected.rows() == [
        ("interactions.csv", 2, "no user"),
        ("interactions.csv", 3, "no item"),
        ("interactions.csv", 4, "timestamp missing or not readable"),
        ("interactions.csv", 5, "too many fields"),
        ("interactions.csv", 6, "no user"),
        ("interactions.csv", 7, "line break in an id"),
        ("items.csv", 2, "no item"),
        ("items.csv", 3, "wrong number of fields"),
    ]


def test_unsafe_ids_find_no_picture_outside_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").touch()
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "sub" / "b.jpg").touch()
    (tmp_path / "images" / "b.jpeg").touch()
    raw = read(tmp_path, "user_id,item_id,timestamp\nu,../secret,1\nu,sub/b,1\nu,b,1\n")
    assert raw.pictures.rows() == [("b", 0, "images/b.jpeg")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"user_id,item_id\nu,i\n", r"lacks the column 'timestamp'; it has 'user_id', 'item_id'"),
        (b"user_id,item_id,item_id,timestamp\nu,i,i,1\n", "'item_id' more than once"),
        (b"user_id,item_id,timestamp\nu,i,1\nu,caf\xe9,1\n", r"row 3: is not UTF-8: byte 0xe9 at column 6"),
        (b'user_id,item_id,timestamp\nu,i,1\nu,"i,1\nu,i,1\n', "row 3: line 3 opens a quote that is never closed"),
    ],
)
def test_unreadable_interactions_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert caught.value.path == tmp_path / "interactions.csv"


def test_items_that_are_not_utf8_name_the_line(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(b"item_id,title\nb,caf\xe9\n")
    with pytest.raises(DataError, match=r"items\.csv, row 2: is not UTF-8"):
        read(tmp_path)


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(
        ("user_id,item_id,timestamp\n" + "".join(f"u{n},i{n * n},{n}\n" for n in range(9999))).encode()
    )
    (tmp_path / "interactions.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cannot be read past line \d{3,}") as caught:
        read_raw("own", tmp_path)
    assert "fetch" in caught.value.hint


def test_what_only_calls_itself_gzip_is_named_so(tmp_path: Path) -> None:
    path, plain = tmp_path / "interactions.csv.gz", b"user_id,item_id,timestamp\nu,i,1\nu,j,2\n"
    path.write_bytes(plain)
    with pytest.raises(DataError, match=r"interactions\.csv\.gz: is not gzip, though its name ends in \.gz") as caught:
        read_raw("own", tmp_path)
    assert "Take the ending off" in caught.value.hint
    path.write_bytes(gzip.compress(plain) + b"\0\0junk")
    with pytest.raises(DataError, match=r"cannot be read past line 3: what follows is not gzip"):
        read_raw("own", tmp_path)
    path.write_bytes(gzip.compress(plain[:30]) + gzip.compress(plain[30:]) + b"\0\0")
    (tmp_path / "items.csv").write_text("item_id,title\ni,I\nj,J\n")
    assert len(read_raw("own", tmp_path).interactions) == 2


def test_missing_interactions_name_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected interactions\.csv or interactions\.csv\.gz or.*found nothing"):
        read_raw("own", tmp_path)


def test_rejected_share_is_judged_per_file(tmp_path: Path) -> None:
    many = "user_id,item_id,timestamp\n" + "".join(f"u,i{n},1\n" for n in range(99)) + "u,,1\n"
    raw = read(tmp_path, many, "item_id,title\na,A\n,B\n")
    raw.check_rejected(tmp_path, 0.5)
    with pytest.raises(DataError, match=r"items\.csv, row 3: 1 of 2 rows are malformed \(50\.0%, at most 1\.0%"):
        raw.check_rejected(tmp_path, 0.01)
    with pytest.raises(DataError, match=r"interactions\.csv, row 101: 1 of 100 rows"):
        raw.check_rejected(tmp_path, 0.0)
