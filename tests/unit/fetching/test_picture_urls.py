from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from illmrec.errors import DataError, ParameterError
from illmrec.fetching.picture_urls import list_wanted
from illmrec.fetching.publishers import (
    AMAZON_CATEGORIES,
    list_amazon_files,
    list_goodbooks_files,
    list_microlens_files,
)
from illmrec.fetching.urls import Policy, parse_url


def write_meta(folder: Path, *records: object) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folder / "meta_Home.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def test_high_resolution_comes_first_and_the_small_one_only_without_it(tmp_path: Path) -> None:
    write_meta(
        tmp_path,
        {"asin": "B1", "imageURLHighRes": ["https://a/1", "https://a/2"], "imageURL": ["https://a/small"]},
        {"asin": "B2", "imageURLHighRes": [], "imageURL": ["https://a/3"]},
        {"asin": "B3", "imageURL": "https://a/4"},
        {"asin": "B4"},
    )
    assert [tuple(w) for w in list_wanted(tmp_path, "amazon")] == [
        ("B1", 0, "https://a/1"),
        ("B2", 0, "https://a/3"),
        ("B3", 0, "https://a/4"),
    ]
    assert [w.position for w in list_wanted(tmp_path, "amazon", per_item=5) if w.item_id == "B1"] == [0, 1]


def test_malformed_lines_and_repeats_are_passed_over(tmp_path: Path) -> None:
    write_meta(
        tmp_path,
        "{not json",
        "[1]",
        "[" * 100_000,
        {"asin": 7, "imageURL": ["https://a/1"]},
        {"asin": "B1", "imageURLHighRes": [None, 5, "https://a/1"]},
        {"asin": "B1", "imageURLHighRes": ["https://a/1"]},
        '{"asin": "B2", "imageURL": ["https://a/\\ud800"]}',
        {"asin": "B3", "imageURL": {"a": 1}},
    )
    assert [tuple(w) for w in list_wanted(tmp_path, "amazon", per_item=3)] == [("B1", 0, "https://a/1")]


def test_a_table_of_addresses_goes_before_the_metadata(tmp_path: Path) -> None:
    write_meta(tmp_path, {"asin": "B1", "imageURL": ["https://a/1"]})
    (tmp_path / "image_urls.csv").write_text("url,item_id,note\nhttps://b/1,B1,x\n,B2,\nhttps://b/3,,\n")
    assert [tuple(w) for w in list_wanted(tmp_path, "amazon")] == [("B1", 0, "https://b/1")]


def test_a_gzip_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "image_urls.csv.gz").write_bytes(gzip.compress(b"item_id,url\n007,https://b/1\n"))
    assert [w.item_id for w in list_wanted(tmp_path, "own")] == ["007"]


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image_urls\.csv"):
        list_wanted(tmp_path, "own")
    (tmp_path / "image_urls.csv").write_text("item,url\n")
    with pytest.raises(DataError, match="'item_id'"):
        list(list_wanted(tmp_path, "own"))


def test_a_truncated_metadata_file_is_one_clear_error(tmp_path: Path) -> None:
    write_meta(tmp_path, *({"asin": f"B{n}", "imageURL": [f"https://a/{n * 7919}"]} for n in range(2000)))
    path = tmp_path / "meta_Home.json.gz"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="cannot be read past line"):
        list(list_wanted(tmp_path, "amazon"))


def test_every_address_of_the_table_of_publishers_is_an_ordinary_one() -> None:
    files = [file for category in AMAZON_CATEGORIES for file in list_amazon_files(category)]
    files += list_goodbooks_files() + [f for v in ("50k", "100k", "1m") for f in list_microlens_files(v, frames=True)]
    assert len(files) == 29 * 2 + 4 + 12
    for file in files:
        assert parse_url(file.url, Policy()).path.endswith(f"/{file.name}")


def test_a_mirror_replaces_the_base_only() -> None:
    assert [file.url for file in list_amazon_files("Video_Games", "https://mirror.example/amazon/")] == [
        "https://mirror.example/amazon/categoryFilesSmall/Video_Games_5.json.gz",
        "https://mirror.example/amazon/metaFiles2/meta_Video_Games.json.gz",
    ]


def test_an_unknown_category_names_a_near_one() -> None:
    with pytest.raises(ParameterError) as error:
        list_amazon_files("Sport")
    assert "Sports_and_Outdoors" in error.value.hint
