from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from illmrec.columns import INTERACTIONS
from illmrec.data.readers import read_raw
from illmrec.data.readers.amazon import MAX_LINE_BYTES
from illmrec.errors import DataError

REVIEW = (
    '{"overall": 5.0, "verified": true, "reviewTime": "09 1, 2016", "reviewerID": "A1EXAMPLE0001", '
    '"asin": "0000000116", "style": {"Size:": " 7.0 oz"}, "reviewerName": "Kim", "reviewText": "As described", '
    '"summary": "Five Stars", "unixReviewTime": 1472688000}'
)
META = (
    '{"category": ["Home &amp; Kitchen", "Bedding", "Blankets"], "tech1": "", "description": ["Soft fleece.", '
    '"Machine wash."], "title": "Lento Knee Blanket", "also_buy": [], "brand": "Wexcombe", "feature": ["warm"], '
    '"price": "$4.99", "imageURL": [], "asin": "0000000116"}'
)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", errors="surrogatepass") as file:
        file.writelines(line + "\n" for line in lines)
    return path


def test_real_lines_become_tables(tmp_path: Path) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW)
    write(tmp_path / "meta_Home.json.gz", META, META.replace("0000000116", "B00NEVER00"))
    (tmp_path / "images").mkdir()
    for name in ("0000000116.PNG", "0000000116.webp", "notes.txt"):
        (tmp_path / "images" / name).touch()
    raw = read_raw("amazon", tmp_path)
    assert dict(raw.interactions.decode().schema) == INTERACTIONS
    assert raw.interactions.decode().rows() == [("A1EXAMPLE0001", "0000000116", 1472688000)]
    category = ["Home &amp; Kitchen", "Bedding", "Blankets"]
    expected = ("0000000116", "Lento Knee Blanket", "Wexcombe", category, "Soft fleece.\nMachine wash.")
    assert raw.items.rows() == [expected]
    assert raw.pictures.rows() == [("0000000116", 0, "images/0000000116.PNG")]
    assert raw.counts["item_rows_without_interaction"] == 1
    assert raw.warnings == ()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{'reviewerID': 'A'}", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["A", "B", 1]', "not a JSON object"),
        ('{"asin": "B", "unixReviewTime": 5}', "no reviewerID"),
        ('{"reviewerID": "A", "asin": " ", "unixReviewTime": 5}', "no asin"),
        ('{"reviewerID": "A", "asin": 7, "unixReviewTime": 5}', "no asin"),
        ('{"reviewerID": "A", "asin": "B"}', "no unixReviewTime"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": "5"}', "unixReviewTime is not a whole number"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": NaN}', "unixReviewTime is not a whole number"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": true}', "unixReviewTime is not a whole number"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": -1}', "unixReviewTime out of range"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": 1472688000000}', "unixReviewTime out of range"),
        (r'{"reviewerID": "A\ud800", "asin": "B", "unixReviewTime": 5}', "reviewerID is not valid Unicode"),
    ],
)
def test_malformed_lines_are_set_aside_with_line_and_reason(tmp_path: Path, line: str, reason: str) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW, line, REVIEW)
    raw = read_raw("amazon", tmp_path)
    assert len(raw.interactions) == 2
    assert raw.rejected.rows() == [("Home_5.json.gz", 2, reason)]
    assert raw.rows == {"Home_5.json.gz": 3}


def test_odd_metadata_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW)
    odd = {"asin": "0000000116", "title": ["A", 7, "B"], "category": "Bedding", "description": None}
    write(tmp_path / "meta_Home.json.gz", json.dumps(odd), r'{"asin": "0000000116", "title": "x\ud83d"}', "[]")
    raw = read_raw("amazon", tmp_path)
    assert raw.items.rows() == [("0000000116", "A\nB", None, [], None), ("0000000116", "x", None, [], None)]
    assert raw.rejected.rows() == [("meta_Home.json.gz", 3, "not a JSON object")]


def test_missing_metadata_is_said_with_the_name_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "All_Beauty_5.json.gz", REVIEW)
    raw = read_raw("amazon", tmp_path)
    assert raw.items.is_empty()
    assert len(raw.warnings) == 1
    assert str(tmp_path / "meta_All_Beauty.json.gz") in raw.warnings[0]


def test_the_five_core_file_is_preferred(tmp_path: Path) -> None:
    write(tmp_path / "Home.json.gz", REVIEW, REVIEW)
    write(tmp_path / "Home_5.json.gz", REVIEW)
    write(tmp_path / "meta_Home.json.gz", META)
    assert len(read_raw("amazon", tmp_path).interactions) == 1
    (tmp_path / "Home_5.json.gz").unlink()
    assert len(read_raw("amazon", tmp_path).interactions) == 2


def test_two_categories_in_one_folder_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW)
    write(tmp_path / "Toys_5.json.gz", REVIEW)
    with pytest.raises(DataError, match=r"Home_5\.json\.gz, Toys_5\.json\.gz"):
        read_raw("amazon", tmp_path)


def test_metadata_alone_is_not_reviews(tmp_path: Path) -> None:
    write(tmp_path / "meta_Home.json.gz", META)
    with pytest.raises(DataError, match=r"no file of reviews.*meta_Home"):
        read_raw("amazon", tmp_path)


def test_foreign_metadata_is_refused_when_it_could_be_either(tmp_path: Path) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW)
    write(tmp_path / "meta_Toys.json.gz", META)
    assert read_raw("amazon", tmp_path).items.height == 1
    write(tmp_path / "meta_Art.json.gz", META)
    with pytest.raises(DataError, match=r"none of them meta_Home\.json\.gz"):
        read_raw("amazon", tmp_path)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    write(tmp_path / "Home_5.json.gz", REVIEW, "x" * (MAX_LINE_BYTES + 5))
    with pytest.raises(DataError, match="longer than") as caught:
        read_raw("amazon", tmp_path)
    assert caught.value.row == 2


def test_truncated_gzip_names_the_last_good_line(tmp_path: Path) -> None:
    path = write(tmp_path / "Home_5.json.gz", *(REVIEW.replace("A1EX", f"A{n}") for n in range(3000)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"Home_5\.json\.gz, row \d+: cannot be read past line \d+") as caught:
        read_raw("amazon", tmp_path)
    assert 0 < caught.value.row < 3000
    assert "fetch" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"no gzip at all"])
def test_empty_and_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "Home_5.json.gz").write_bytes(content)
    with pytest.raises(DataError, match="Home_5"):
        read_raw("amazon", tmp_path)


def test_missing_metadata_can_be_refused_before_the_reviews_are_read(tmp_path: Path) -> None:
    (tmp_path / "All_Beauty_5.json.gz").write_bytes(b"not read")
    with pytest.raises(DataError, match=r"meta_All_Beauty\.json\.gz: is missing") as caught:
        read_raw("amazon", tmp_path, missing_items="refuse")
    assert "prepare.missing_metadata" in caught.value.hint


def test_a_line_fares_the_same_whatever_its_neighbours(tmp_path: Path) -> None:
    lines = [
        REVIEW.replace('"overall": 5.0', '"overall": NaN'),  # looser than JSON, but harmless
        REVIEW.replace("As described", "odd \\ud800"),
        "\ufeff" + REVIEW,
        REVIEW + "\r",
        REVIEW.replace("{", '{"reviewerID": "first", ', 1),  # of a key given twice the last counts
        REVIEW.replace("1472688000", "1472688000.0"),
        "",
    ]
    alone = []
    for line in lines:
        write(tmp_path / "Home_5.json.gz", line, line)
        raw = read_raw("amazon", tmp_path)
        alone.append((raw.interactions.decode().rows()[:1], raw.rejected["reason"].to_list()[:1]))
    write(tmp_path / "Home_5.json.gz", *lines, REVIEW)
    raw = read_raw("amazon", tmp_path)
    good = [row for rows, _ in alone for row in rows]
    assert raw.interactions.decode().rows() == [*good, good[0]]
    assert len(good) == 5
    assert raw.rejected.rows() == [
        ("Home_5.json.gz", 6, "unixReviewTime is not a whole number"),
        ("Home_5.json.gz", 7, "not JSON"),
    ]
