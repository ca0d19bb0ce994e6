"""A synthetic catalog in the layout of Amazon Reviews 2018.

Files:
    ``Sample_5.json.gz``: one JSON object a line: overall, vote (sometimes), verified, reviewTime ("09 1, 2016"),
    reviewerID, asin, style (sometimes; the chosen size, not the looks), reviewerName, reviewText, summary,
    unixReviewTime (midnight UTC of that day), image (sometimes). Lines stand in order of asin.
    ``meta_Sample.json.gz``: one JSON object a line with the 2018 keys; brand may be empty or absent, description is a
    list that may be empty, category runs from most general to most special, texts hold HTML tags and entities.
    ``images/<asin>.jpg``: pictures by asin, as people download them from imageURLHighRes.

Identifiers are mostly ``B0`` and eight characters; a few are ten digits with leading zeros, as books have.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from illmrec.samples import amazon_texts
from illmrec.samples.notice import write_notice
from illmrec.samples.pictures import HTML_ERROR_PAGE, Colour, cut_short, draw_picture, draw_pose
from illmrec.samples.styles import STYLES
from illmrec.samples.world import SECONDS_PER_DAY, Plan, World, build_world
from illmrec.seeds import generator

PLAN = Plan(users=600, items=300, categories=8, brands=14, start=1_475_280_000, days=730)
"""From 2016-10-01 to 2018-09-30."""

Row = dict[str, Any]

DUPLICATE_REVIEWS = 25
SECOND_REVIEWS = 20
"""Users who review an item again on a later day."""
ITEMS_WITHOUT_META = 3
UNREVIEWED_META = 10
DUPLICATE_META = 5
DIGIT_ASINS = 4
NO_BRAND_SHARE = 0.10

_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BACKGROUNDS: tuple[Colour, ...] = ((246, 246, 244), (232, 228, 218), (214, 218, 224), (226, 220, 232))
_NAMES = ("Ada", "Ben", "Carla", "Dev", "Elif", "Finn", "Grace", "Hugo", "Ines", "Jonas", "Kim", "Lars", "Mei", "Noor")
_OPINIONS = (
    (5, "Five Stars", "Exactly what I was looking for."),
    (5, "Love it", "Arrived quickly and looks even better in person."),
    (5, "Great gift", "My sister was very happy with it."),
    (4, "Good value", "Well made for the price, the box was a little dented."),
    (4, "Nice", "Does what it should, would buy again."),
    (3, "It is okay", "Smaller than I expected."),
    (2, "Not for me", "The material feels thin."),
    (1, "Disappointed", "Broke in the first week, sent it back."),
)
_SIZES = (" Small", " Medium", " Large", " One Size")


def write_catalog(folder: Path, seed: int, plan: Plan = PLAN) -> dict[str, int]:
    """Write the catalog into the empty ``folder``; return counts of what was written, dirt included."""
    world = build_world("amazon", plan, seed)
    rng = generator(seed, "amazon", "texts")
    asins = _name(world.plan.items + UNREVIEWED_META, rng)
    texts = amazon_texts.write_texts(world, rng)
    unlisted = np.sort(rng.choice(plan.items, ITEMS_WITHOUT_META, replace=False))
    listed = np.setdiff1d(np.arange(plan.items), unlisted)

    reviews = _list_reviews(world, asins, generator(seed, "amazon", "reviews"))
    _write_lines(folder / "Sample_5.json.gz", reviews)
    meta = _list_meta(world, asins, texts, listed, generator(seed, "amazon", "meta"))
    _write_lines(folder / "meta_Sample.json.gz", meta)
    pictures = _write_pictures(folder / "images", world, asins, listed[world.has_image[listed]], seed)
    write_notice(folder, "Amazon Reviews 2018", seed)
    return {
        "users": world.events["user"].n_unique(),
        "items": plan.items,
        "review_lines": len(reviews),
        "meta_lines": len(meta),
        "pictures": pictures,
    }


def _name(count: int, rng: np.random.Generator) -> list[str]:
    """Return distinct asins; the last three characters count up, so that no two are equal."""
    asins = []
    for item, letters in enumerate(rng.integers(0, 36, (count, 5))):
        tail = _CHARACTERS[item // 1296] + _CHARACTERS[item // 36 % 36] + _CHARACTERS[item % 36]
        asins.append("B0" + "".join(_CHARACTERS[letter] for letter in letters) + tail)
    for item in range(DIGIT_ASINS):
        asins[item * 7] = f"{31_887 + 1_009 * item:010d}"
    return asins


def _list_reviews(world: World, asins: list[str], rng: np.random.Generator) -> list[Row]:
    """Return the review lines in the file's order: by asin, then time."""
    days = world.events.with_columns(pl.col("second") // SECONDS_PER_DAY * SECONDS_PER_DAY)
    again = days[np.sort(rng.choice(days.height, SECOND_REVIEWS, replace=False))]
    later = rng.integers(2, 30, SECOND_REVIEWS) * SECONDS_PER_DAY
    events = pl.concat([days, again.with_columns(pl.col("second") + pl.Series(later))])
    reviewers = ["A" + "".join(_CHARACTERS[c] for c in row) for row in rng.integers(0, 36, (world.plan.users, 13))]
    reviews = [
        _review(reviewers[user], user, asins[item], second, numbers)
        for (user, item, second), numbers in zip(
            events.iter_rows(), rng.integers(0, 1 << 30, (events.height, 6)).tolist(), strict=True
        )
    ]
    doubled = np.sort(rng.choice(len(reviews), DUPLICATE_REVIEWS, replace=False))
    reviews += [reviews[index] for index in doubled]
    return sorted(reviews, key=lambda review: (review["asin"], review["unixReviewTime"], review["reviewerID"]))


def _review(reviewer: str, user: int, asin: str, second: int, numbers: list[int]) -> Row:
    """Return one review line; ``numbers`` are random."""
    overall, summary, text = _OPINIONS[numbers[0] % len(_OPINIONS)]
    day = datetime.fromtimestamp(second, UTC)
    row: Row = {"overall": float(overall)}
    if numbers[1] % 10 == 0:
        row["vote"] = f"{2 + numbers[1] % 1400:,}"
    row |= {
        "verified": numbers[2] % 8 != 0,
        "reviewTime": f"{day:%m} {day.day}, {day.year}",
        "reviewerID": reviewer,
        "asin": asin,
    }
    if numbers[3] % 5 < 2:
        row["style"] = {"Size:": _SIZES[numbers[3] % len(_SIZES)]}
    row |= {
        "reviewerName": f"{_NAMES[user % len(_NAMES)]} {_CHARACTERS[10 + user % 26]}.",
        "reviewText": text,
        "summary": summary,
        "unixReviewTime": second,
    }
    if numbers[4] % 50 == 0:
        row["image"] = [f"https://images.example.invalid/reviews/{numbers[5]}.jpg"]
    if numbers[5] % 200 == 0:
        del row["reviewText"]
    return row


def _list_meta(
    world: World, asins: list[str], texts: amazon_texts.ItemTexts, listed: np.ndarray, rng: np.random.Generator
) -> list[Row]:
    """Return the metadata lines, with items nobody reviewed and with repeated lines, in random order."""
    count = world.plan.items
    rows = []
    for index in listed.tolist():
        brand = amazon_texts.BRANDS[world.brand[index]]
        category = int(world.category[index])
        row = _meta(asins[index], texts.titles[index], brand, category, bool(world.has_image[index]))
        row["description"] = texts.descriptions[index]
        row["also_view"] = [asins[other] for other in rng.integers(0, count, 2).tolist()]
        rows.append(row)
    for row, missing, absent in zip(rows, rng.random(len(rows)), rng.random(len(rows)), strict=True):
        if missing < NO_BRAND_SHARE:
            row["brand"] = ""
            if absent < 0.5:
                del row["brand"]
    rows += [_meta(asin, "Unsold Sample Item", "Norvale", 0, has_image=False) for asin in asins[count:]]
    rows += [rows[index] for index in np.sort(rng.choice(len(rows), DUPLICATE_META, replace=False))]
    return [rows[index] for index in rng.permutation(len(rows))]


def _meta(asin: str, title: str, brand: str, category: int, has_image: bool) -> Row:
    branch, leaf, _ = amazon_texts.CATEGORIES[category]
    address = f"https://images.example.invalid/I/{asin}"
    return {
        "category": [amazon_texts.DEPARTMENT, branch, leaf],
        "tech1": "",
        "description": [],
        "fit": "",
        "title": title,
        "also_buy": [],
        "tech2": "",
        "brand": brand,
        "feature": ["Imported", "Designed for daily use"],
        "rank": f"{1_000 + int(asin[-3:], 36):,} in {leaf} (",
        "also_view": [],
        "main_cat": amazon_texts.DEPARTMENT,
        "similar_item": "",
        "date": "",
        "price": f"${5 + int(asin[-2:], 36) % 60}.99",
        "asin": asin,
        "imageURL": [f"{address}._SS40_.jpg"] if has_image else [],
        "imageURLHighRes": [f"{address}.jpg"] if has_image else [],
    }


def _write_lines(path: Path, rows: Iterable[Row]) -> None:
    """Write JSON lines, compressed without name or time, so that equal rows give equal bytes."""
    text = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    with path.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
        packed.write(text.encode("ascii"))


def _write_pictures(folder: Path, world: World, asins: list[str], items: np.ndarray, seed: int) -> int:
    """Write one picture per item: the first is an HTML error page, the second is cut short; return how many."""
    folder.mkdir()
    for position, item in enumerate(items.tolist()):
        rng = generator(seed, "amazon", "picture", item)
        background = _BACKGROUNDS[int(rng.integers(len(_BACKGROUNDS)))]
        picture = draw_picture(STYLES[world.style[item]], background, draw_pose(rng), rng)
        damaged = {0: HTML_ERROR_PAGE, 1: cut_short(picture)}.get(position, picture)
        (folder / f"{asins[item]}.jpg").write_bytes(damaged)
    return len(items)
