"""JSON and CSV made to exhaust memory or time: a clear refusal or a counted rejection, within bounds."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks.measure import measure_peak_mb
from illmrec.data.files.blocks import iterate_blocks
from illmrec.data.raw import RawCatalog
from illmrec.data.readers import read_raw
from illmrec.data.text import MAX_CHARACTERS, clean_text
from illmrec.errors import DataError

MOST_MB, MOST_SECONDS = 700, 30
"""Generous: the bombs would take gigabytes and hours."""

MB = 1024 * 1024
GOOD = b'{"reviewerID": "A", "asin": "B", "unixReviewTime": 5}\n'
HEADER = b"user_id,item_id,timestamp\n"


def review(**fields: str) -> bytes:
    """One line with the fields written as they are given, valid JSON or not."""
    parts = {"reviewerID": '"A"', "asin": '"B"', "unixReviewTime": "5"} | fields
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in parts.items()) + "}\n").encode()


def read_within_bounds(layout: str, folder: Path) -> RawCatalog | DataError:
    """Read a folder; fail where that takes more memory or time than it may."""
    results: list[RawCatalog | DataError] = []

    def read() -> None:
        try:
            results.append(read_raw(layout, folder))
        except DataError as error:
            results.append(error)

    start = time.process_time()
    peak = measure_peak_mb(read)
    assert time.process_time() - start < MOST_SECONDS
    assert peak is None or peak < MOST_MB
    return results[0]


def write_repeated(path: Path, member: bytes, times: int) -> None:
    """Write a gzip file of many equal members, whose size is small and whose content is not."""
    path.write_bytes(gzip.compress(member, 1) * times)


DEEP = 3_000_000
LINES: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "three million open lists": (lambda: review(x="[" * DEEP), "not JSON"),
    "three million lists, closed": (lambda: review(x="[" * DEEP + "]" * DEEP), "not JSON"),
    "a million nested objects": (lambda: review(x='{"a":' * 1_000_000 + "1" + "}" * 1_000_000), "not JSON"),
    "deep from the first byte": (lambda: b"[" * DEEP + b"\n", "not JSON"),
    "a time of a million digits": (lambda: review(unixReviewTime="9" * 1_000_000), "not JSON"),
    "a million digits elsewhere": (lambda: review(overall="9" * 1_000_000), None),
    "a time with a huge exponent": (
        lambda: review(unixReviewTime="1e999999999"),
        "unixReviewTime is not a whole number",
    ),
    "infinity": (lambda: review(unixReviewTime="Infinity"), "unixReviewTime is not a whole number"),
    "a million keys": (lambda: review(x="{" + ",".join(f'"{n}":0' for n in range(1_000_000)) + "}"), None),
    "a key a million times": (lambda: review(asin='"B"' + ', "asin": "B"' * 1_000_000), None),
    "an id of ten million letters": (lambda: review(reviewerID=f'"{"A" * 10_000_000}"'), "id too long"),
    "an id with NUL": (lambda: review(reviewerID=r'"A\u0000"'), "control character in an id"),
    "a raw NUL": (lambda: review(asin='"B\x00"'), "not JSON"),
    "bytes that are not UTF-8": (lambda: GOOD.replace(b'"A"', b'"\xff\xfe"'), "not JSON"),
    "a text of ten million letters": (lambda: review(reviewText=f'"{"long " * 2_000_000}"'), None),
    "a string that never closes": (lambda: GOOD.strip()[:-20] + b"\n", "not JSON"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_hostile_line_is_counted_and_its_neighbours_are_read(tmp_path: Path, name: str) -> None:
    make, reason = LINES[name]
    (tmp_path / "Home_5.json.gz").write_bytes(gzip.compress(GOOD + make() + GOOD, 1))
    raw = read_within_bounds("amazon", tmp_path)
    assert isinstance(raw, RawCatalog), raw
    assert raw.rejected["reason"].to_list() == ([reason] if reason else [])
    assert len(raw.interactions) == (2 if reason else 3)
    assert raw.rows == {"Home_5.json.gz": 3}


@pytest.mark.parametrize("content", [b"x", b"\n", b" ", b"[", b"\x00"])
def test_gigabytes_in_a_small_gzip_file_are_refused(tmp_path: Path, content: bytes) -> None:
    write_repeated(tmp_path / "Home_5.json.gz", content * (16 * MB), 256)  # 4 GB
    assert (tmp_path / "Home_5.json.gz").stat().st_size < 25 * MB
    error = read_within_bounds("amazon", tmp_path)
    assert isinstance(error, DataError)
    assert any(
        part in error.message for part in ("longer than", "expands to more than", "rows are malformed", "empty lines")
    )


@pytest.mark.parametrize("content", [b"x", b"\n", b'"', b","])
def test_gigabytes_in_a_small_csv_gz_are_refused(tmp_path: Path, content: bytes) -> None:
    whole = gzip.compress(HEADER) + gzip.compress(content * (16 * MB), 1) * 256
    (tmp_path / "interactions.csv.gz").write_bytes(whole)
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert any(
        part in error.message for part in ("longer than", "expands to more than", "rows are malformed", "empty lines")
    )


def test_good_rows_without_end_in_a_small_file_are_refused_by_their_expansion(tmp_path: Path) -> None:
    rows = gzip.compress(b"u,i,5\n" * 2_000_000, 9) * 10
    (tmp_path / "interactions.csv.gz").write_bytes(gzip.compress(HEADER) + rows)
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert "expands to more than 100 times" in error.message


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"u\n", b",,\n"])
def test_millions_of_short_bad_lines_are_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "interactions.csv").write_bytes(HEADER + line * 2_000_000)
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert "rows are malformed" in error.message or "empty lines" in error.message


def test_a_plain_file_of_forty_gigabytes_without_a_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "interactions.csv"
    path.write_bytes(HEADER)
    os.truncate(path, 40 * 1024 * MB)  # sparse: takes no room
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert "longer than" in error.message
    assert error.row == 2


@pytest.mark.parametrize("table", ["interactions", "items"])
def test_a_quote_that_never_closes_is_refused_with_its_line(tmp_path: Path, table: str) -> None:
    rows = b"".join(b"u%d,i%d,5\n" % (n, n) for n in range(1_000_000))
    (tmp_path / "interactions.csv").write_bytes(HEADER + b"u,i,5\n")
    header = HEADER if table == "interactions" else b"item_id,title,brand\n"
    (tmp_path / f"{table}.csv").write_bytes(header + rows[:20] + b'\nu,"i,5\n' + rows)
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert "never closed" in error.message
    assert error.row is not None
    assert error.row < 10


def test_line_breaks_between_quotes_survive_the_cut_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("illmrec.data.files.csv_files.iterate_blocks", partial(iterate_blocks, size=100))
    monkeypatch.setattr("illmrec.data.files.blocks._PIECE", 7)
    rows = b"".join(b'u%d,"i""\n%d",5\n' % (n, n) if n % 3 else b"u%d,i%d,5\n" % (n, n) for n in range(300))
    (tmp_path / "interactions.csv").write_bytes(HEADER + rows)
    raw = read_raw("own", tmp_path)
    assert raw.interactions.decode()["item_id"].to_list() == [f"i{n}" for n in range(0, 300, 3)]
    assert raw.rejected["row"].to_list() == [n + 2 for n in range(300) if n % 3]
    assert set(raw.rejected["reason"]) == {"line break in an id"}


def test_a_hundred_thousand_columns_are_refused_in_a_short_message(tmp_path: Path) -> None:
    names = ",".join(f"column{n}" for n in range(100_000))
    (tmp_path / "interactions.csv").write_text(f"{names}\n" + "," * 99_999 + "\n")
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert "100,000 columns" in error.message
    assert len(error.message) < 500


def test_a_column_name_of_a_megabyte_makes_no_message_of_a_megabyte(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("a" * 100_000 + ",user_id\n")
    error = read_within_bounds("own", tmp_path)
    assert isinstance(error, DataError)
    assert len(error.message) < 1000


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"u,i,5" + b",x" * 1_000_000, "too many fields"),
        (b"u,i," + b"9" * 1_000_000, "timestamp missing or not readable"),
        (b"u" * 1_000_000 + b",i,5", "id too long"),
        (b"u\x00,i,5", "control character in an id"),
        (b"u,i,NaN", "timestamp missing or not readable"),
        (b"u,i,inf", "timestamp missing or not readable"),
        (b"u", "no item"),
    ],
    ids=["a million fields", "a million digits", "a long id", "NUL", "NaN", "infinity", "one field"],
)
def test_a_hostile_row_is_counted_and_its_neighbours_are_read(tmp_path: Path, row: bytes, reason: str) -> None:
    (tmp_path / "interactions.csv").write_bytes(HEADER + b"u,i,5\n" + row + b"\nu,j,6\n")
    raw = read_within_bounds("own", tmp_path)
    assert isinstance(raw, RawCatalog), raw
    assert raw.rejected.rows() == [("interactions.csv", 3, reason)]
    assert raw.interactions.decode().rows() == [("u", "i", 5), ("u", "j", 6)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_other_encodings_are_refused_and_byte_order_marks_are_not(tmp_path: Path, encoding: str) -> None:
    text = HEADER.decode() + "ü,i,5\n"
    (tmp_path / "interactions.csv").write_bytes(text.encode(encoding))
    assert isinstance(read_within_bounds("own", tmp_path), DataError)
    (tmp_path / "interactions.csv").write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_raw("own", tmp_path).interactions.decode().rows() == [("ü", "i", 5)]


def test_texts_of_many_megabytes_are_cut_when_they_are_cleaned(tmp_path: Path) -> None:
    (tmp_path / "Home_5.json.gz").write_bytes(gzip.compress(GOOD))
    lists = json.dumps({"asin": "B", "title": "<script>" * 1_000_000, "description": ["<p>"] * 1_000_000})
    names = json.dumps({"asin": "B", "category": [{"deep": []}] * 500_000 + ["Toys"], "brand": 7})
    (tmp_path / "meta_Home.json.gz").write_bytes(gzip.compress(f"{lists}\n{names}\n".encode(), 1))
    raw = read_within_bounds("amazon", tmp_path)
    assert isinstance(raw, RawCatalog), raw
    assert len(clean_text(raw.items["description"][0])) <= MAX_CHARACTERS
    assert raw.items.row(1) == ("B", None, None, ["Toys"], None)


def test_a_file_of_nothing_but_bad_lines_is_refused_by_its_share(tmp_path: Path) -> None:
    (tmp_path / "Home_5.json.gz").write_bytes(
        gzip.compress(os.urandom(600_000).hex(" ", 50).encode().replace(b" ", b"\n") * 4)
    )
    raw = read_within_bounds("amazon", tmp_path)
    assert isinstance(raw, RawCatalog), raw
    with pytest.raises(DataError, match="are malformed"):
        raw.check_rejected(tmp_path, 0.01)
