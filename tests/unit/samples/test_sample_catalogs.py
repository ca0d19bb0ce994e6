"""The three layouts, their planned dirt, and equal bytes for equal seeds."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from illmrec.atomic import digest_folder
from illmrec.errors import DataError
from illmrec.samples import amazon, amazon_texts, hm, microlens
from illmrec.samples.notice import GENERATOR_VERSION, NOTICE, refuse_foreign
from illmrec.samples.styles import COLOURS, SHAPES

Writer = Callable[..., dict[str, int]]
WRITERS: dict[str, tuple[Writer, Any]] = {
    "amazon": (amazon.write_catalog, amazon.PLAN),
    "hm": (hm.write_catalog, hm.PLAN),
    "microlens": (microlens.write_catalog, microlens.PLAN),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("data")
    for name, (write, plan) in WRITERS.items():
        (root / name).mkdir()
        write(root / name, 0, plan)
    return {name: root / name for name in WRITERS}


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def decodes(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def names_style(text: str) -> bool:
    return any(f"{colour} {shape}" in text for colour in COLOURS for shape in SHAPES)


@pytest.mark.parametrize("name", WRITERS)
def test_equal_seeds_give_equal_bytes_and_others_do_not(name: str, tmp_path: Path) -> None:
    write, plan = WRITERS[name]
    small = replace(plan, users=60, items=48)
    for folder, seed in (("first", 5), ("again", 5), ("other", 6)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, seed, small)
    assert digest_folder(tmp_path / "first") == digest_folder(tmp_path / "again")
    first = {path.name: path.read_bytes() for path in (tmp_path / "first").rglob("*.*") if path.is_file()}
    other = {path.name: path.read_bytes() for path in (tmp_path / "other").rglob("*.*") if path.is_file()}
    assert not [path for path in first.keys() & other.keys() if first[path] == other[path] and "csv" in path]
    assert first != other


def test_compressed_files_hold_no_clock_and_no_name(folders: dict[str, Path]) -> None:
    for path in folders["amazon"].glob("*.gz"):
        head = path.read_bytes()[:10]
        assert head[3] == 0
        assert head[4:8] == bytes(4)


def test_together_they_stay_small(folders: dict[str, Path]) -> None:
    files = [path for folder in folders.values() for path in folder.rglob("*") if path.is_file()]
    assert len(files) < 1_500
    assert sum(path.stat().st_size for path in files) < 6_000_000


def test_each_says_that_it_is_synthetic(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        text = (folder / NOTICE).read_text(encoding="utf-8")
        assert "synthetic" in text.lower()
        assert "seed: 0" in text
        assert f"generator version: {GENERATOR_VERSION}" in text
        refuse_foreign(folder)


def test_a_folder_that_somebody_else_filled_is_refused(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "absent")
    refuse_foreign(tmp_path)
    (tmp_path / "articles.csv").write_text("article_id\n")
    with pytest.raises(DataError, match="did not write"):
        refuse_foreign(tmp_path)
    (tmp_path / NOTICE).write_text("my own notes\n")
    with pytest.raises(DataError, match="did not write"):
        refuse_foreign(tmp_path)


def test_a_link_to_a_folder_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    (tmp_path / "amazon").symlink_to(folders["amazon"])
    with pytest.raises(DataError, match="did not write"):
        refuse_foreign(tmp_path / "amazon")


class TestAmazon:
    def test_reviews_have_the_published_shape(self, folders: dict[str, Path]) -> None:
        reviews = read_lines(folders["amazon"] / "Sample_5.json.gz")
        assert all(len(review["asin"]) == 10 for review in reviews)
        assert any(review["asin"].startswith("00") for review in reviews)
        assert [r["asin"] for r in reviews] == sorted(r["asin"] for r in reviews)
        for review in reviews:
            day = datetime.fromtimestamp(review["unixReviewTime"], UTC)
            assert (day.hour, day.minute, day.second) == (0, 0, 0)
            assert review["reviewTime"] == f"{day.month:02d} {day.day}, {day.year}"
            assert day.year < 2019

    def test_planned_dirt_in_reviews(self, folders: dict[str, Path]) -> None:
        reviews = read_lines(folders["amazon"] / "Sample_5.json.gz")
        lines = Counter(json.dumps(review, sort_keys=True) for review in reviews)
        assert sum(count - 1 for count in lines.values()) == amazon.DUPLICATE_REVIEWS
        visits = {(r["reviewerID"], r["asin"], r["unixReviewTime"]) for r in reviews}
        pairs = Counter((user, item) for user, item, _ in visits)
        assert sum(count - 1 for count in pairs.values()) == amazon.SECOND_REVIEWS
        days = Counter((user, day) for user, _, day in visits)
        assert sum(count > 1 for count in days.values()) > 100

    def test_planned_dirt_in_metadata(self, folders: dict[str, Path]) -> None:
        reviewed = {review["asin"] for review in read_lines(folders["amazon"] / "Sample_5.json.gz")}
        meta = read_lines(folders["amazon"] / "meta_Sample.json.gz")
        distinct = {row["asin"]: row for row in meta}
        assert len(meta) - len(distinct) == amazon.DUPLICATE_META
        assert len(reviewed - distinct.keys()) == amazon.ITEMS_WITHOUT_META
        assert len(distinct.keys() - reviewed) == amazon.UNREVIEWED_META
        sold = [row for asin, row in distinct.items() if asin in reviewed]
        assert 0.05 < sum(not row.get("brand") for row in sold) / len(sold) < 0.15
        assert {"brand" in row for row in sold if not row.get("brand")} == {True, False}
        assert 0.02 < sum(not row["description"] for row in sold) / len(sold) < 0.09
        described = [" ".join(row["description"]) for row in sold if row["description"]]
        assert 0.09 < sum("<br>" in text and "&amp;" in text for text in described) / len(described) < 0.21
        assert 0.05 < sum(amazon_texts.BOILERPLATE in text for text in described) / len(described) < 0.16
        assert 0.3 < sum(map(names_style, described)) / len(described) < 0.5

    def test_titles_name_no_style_and_two_are_awkward(self, folders: dict[str, Path]) -> None:
        titles = [row["title"] for row in read_lines(folders["amazon"] / "meta_Sample.json.gz")]
        assert not any(map(names_style, titles))
        assert any("<script>" in title for title in titles)
        assert any("日本製" in title for title in titles)

    def test_two_pictures_are_damaged_and_some_missing(self, folders: dict[str, Path]) -> None:
        pictures = sorted((folders["amazon"] / "images").iterdir())
        damaged = [path for path in pictures if not decodes(path)]
        assert len(damaged) == 2
        assert sum(b"<html>" in path.read_bytes() for path in damaged) == 1
        meta = read_lines(folders["amazon"] / "meta_Sample.json.gz")
        assert {path.stem for path in pictures} == {row["asin"] for row in meta if row["imageURLHighRes"]}
        assert 0.03 < 1 - len(pictures) / amazon.PLAN.items < 0.1


class TestHm:
    def test_articles_have_the_published_columns(self, folders: dict[str, Path]) -> None:
        header, *rows = read_csv(folders["hm"] / "articles.csv")
        assert len(header) == 25
        assert (header[0], header[5], header[24]) == ("article_id", "product_group_name", "detail_desc")
        assert all(len(row) == 25 and len(row[0]) == 10 and row[0].startswith("0") for row in rows)
        assert all(int(row[0]) // 1_000 == int(row[1]) for row in rows)
        assert len({row[0] for row in rows}) == len(rows)
        assert 0.02 < sum(not row[24] for row in rows) / len(rows) < 0.1
        assert not any(names_style(" ".join(row[:24])) for row in rows)
        assert 0.28 < sum(names_style(row[24]) for row in rows) / len(rows) < 0.5

    def test_planned_dirt_in_transactions(self, folders: dict[str, Path]) -> None:
        sales = pl.read_csv(folders["hm"] / "transactions_train.csv", infer_schema=False)
        assert sales.columns == ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
        assert sales["t_dat"].is_sorted()
        articles = {row[0] for row in read_csv(folders["hm"] / "articles.csv")[1:]}
        sold = set(sales["article_id"])
        assert len(sold - articles) == hm.ARTICLES_WITHOUT_ROW
        assert len(articles - sold) == hm.UNSOLD_ARTICLES
        baskets = sales.group_by("t_dat", "customer_id", "article_id").len()
        assert 0.01 < (baskets["len"] > 1).mean() < 0.03
        days = baskets.group_by("customer_id", "article_id").len()
        assert 0.005 < (days["len"] > 1).mean() < 0.025
        same_day = sales.group_by("t_dat", "customer_id").len()
        assert (same_day["len"] > 1).mean() > 0.2

    def test_some_customers_never_bought(self, folders: dict[str, Path]) -> None:
        header, *rows = read_csv(folders["hm"] / "customers.csv")
        assert tuple(header) == hm.CUSTOMER_COLUMNS
        sales = pl.read_csv(folders["hm"] / "transactions_train.csv", infer_schema=False)
        customers = {row[0] for row in rows}
        assert all(len(customer) == 64 for customer in customers)
        assert set(sales["customer_id"]) < customers
        assert len(customers) - sales["customer_id"].n_unique() == hm.IDLE_CUSTOMER_SHARE * hm.PLAN.users

    def test_pictures_lie_below_their_first_three_digits(self, folders: dict[str, Path]) -> None:
        pictures = list((folders["hm"] / "images").glob("*/*.jpg"))
        articles = {row[0] for row in read_csv(folders["hm"] / "articles.csv")[1:]}
        assert all(path.parent.name == path.stem[:3] for path in pictures)
        assert {path.stem for path in pictures} < articles
        assert 0.8 < len(pictures) / len(articles) < 0.96


class TestMicroLens:
    def test_pairs_are_in_milliseconds_and_never_repeat(self, folders: dict[str, Path]) -> None:
        pairs = pl.read_csv(folders["microlens"] / microlens.PAIRS)
        assert pairs.columns == ["user", "item", "timestamp"]
        assert pairs["timestamp"].is_sorted()
        assert not pairs.select("user", "item").is_duplicated().any()
        assert pairs["timestamp"].cast(pl.Datetime("ms")).dt.year().unique().sort().to_list() == [2020, 2021, 2022]

    def test_titles_have_no_header_and_awkward_characters(self, folders: dict[str, Path]) -> None:
        rows = read_csv(folders["microlens"] / microlens.TITLES)
        assert all(len(row) == 2 and row[0].isdigit() for row in rows)
        assert len(rows) == microlens.PLAN.items - microlens.MISSING_TITLES
        assert sum(not title for _, title in rows) == microlens.EMPTY_TITLES
        assert any("," in title and '"' in title for _, title in rows)
        assert 0.08 < sum(names_style(title) for _, title in rows) / len(rows) < 0.24

    def test_frames_and_covers(self, folders: dict[str, Path]) -> None:
        covers = {path.stem for path in (folders["microlens"] / microlens.COVERS).iterdir()}
        frames = sorted((folders["microlens"] / microlens.FRAMES).iterdir())
        counts = Counter(path.stem.split("-")[0] for path in frames)
        assert set(counts.values()) == {microlens.FRAMES_PER_VIDEO}
        assert len(covers - counts.keys()) == microlens.VIDEOS_WITHOUT_FRAMES
        assert not counts.keys() - covers
        assert len(covers) == round(microlens.PLAN.items * (1 - microlens.PLAN.imageless_share))
        assert [path.stem.split("-")[1] for path in frames if not decodes(path)] == ["2"]
