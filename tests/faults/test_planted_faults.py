"""A clean catalog raises nothing; each fault planted in it is reported by the checks meant for it, and by no other."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from click.testing import CliRunner

from illmrec import columns
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.facts import gather_facts
from tests.feature_project import draw_vectors, list_failed, read_gate, use_tower, write_project

Tables = dict[str, pl.DataFrame]
Fault = Callable[[Tables], Tables]

USERS, ITEMS, HISTORY = 500, 400, 8
NOW = 1_700_000_000
DAY = 86_400
BOUNDS = ValidateConfig(language="en")
PREPARED = PrepareConfig(format="own", folder="data/own")
CRITICAL, WARNING = "critical", "warning"


def make_clean_tables() -> Tables:
    """500 users with 8 interactions each, days apart, in a ring over 400 items: 10 for each item."""
    users = [f"u{number:03}" for number in range(USERS)]
    items = [f"i{number:03}" for number in range(ITEMS)]
    interactions = pl.DataFrame(
        {
            "user_id": [user for user in users for _ in range(HISTORY)],
            "item_id": [items[(user * HISTORY + step) % ITEMS] for user in range(USERS) for step in range(HISTORY)],
            "timestamp": [1_600_000_000 + 37 * user + step * DAY for user in range(USERS) for step in range(HISTORY)],
        },
        schema=columns.INTERACTIONS,
    )
    texts = {
        "item_id": items,
        "title": [f"Shirt number {number}" for number in range(ITEMS)],
        "brand": [f"Maker {number % 9}" for number in range(ITEMS)],
        "category": [["Clothing", f"Kind {number % 20}"] for number in range(ITEMS)],
        "description": [
            f"The shirt {number} is made for you. It comes in the colour {number}." for number in range(ITEMS)
        ],
    }
    return {
        "interactions": interactions,
        "items": pl.DataFrame(
            texts | {"image_ref": [f"{item}.jpg" for item in items], "image_status": "ok"}, schema=columns.ITEMS
        ),
        "images": pl.DataFrame(
            {
                "item_id": items,
                "position": 0,
                "image_ref": [f"{item}.jpg" for item in items],
                "status": "ok",
                "sha256": [f"{item:0>64}" for item in items],
                "width": 300,
                "height": 400,
                "bytes": 25_000,
                "reason": "",
            },
            schema=columns.IMAGES,
        ),
        "users": pl.DataFrame({"user_id": users, "status": "core"}, schema=columns.USERS),
        "raw_texts": pl.DataFrame(texts, schema=columns.RAW_TEXTS),
    }


def overwrite(table: str, share: float, **values: object) -> Fault:
    """Return a fault that overwrites columns in the first rows of a table; an expression is worked out row by row."""

    def plant(tables: Tables) -> Tables:
        rows = round(share * tables[table].height)
        hit = pl.int_range(pl.len()) < rows
        changed = [
            pl.when(hit)
            .then(value if isinstance(value, pl.Expr) else pl.lit(value))
            .otherwise(pl.col(name))
            .cast(tables[table].schema[name])
            .alias(name)
            for name, value in values.items()
        ]
        return tables | {table: tables[table].with_columns(changed)}

    return plant


def repeat_interactions(tables: Tables) -> Tables:
    return tables | {"interactions": pl.concat([tables["interactions"], tables["interactions"].head(5)])}


def shorten_a_history(tables: Tables) -> Tables:
    return tables | {"interactions": tables["interactions"][5:]}


def add_a_bot(tables: Tables) -> Tables:
    items = tables["items"]["item_id"].head(350)
    clicks = pl.DataFrame({"user_id": "bot", "item_id": items, "timestamp": 1_650_000_000 + pl.Series(range(350))})
    bot = pl.DataFrame({"user_id": ["bot"], "status": ["core"]}, schema=columns.USERS)
    return tables | {
        "interactions": pl.concat([tables["interactions"], clicks.cast(pl.Schema(columns.INTERACTIONS))]),
        "users": pl.concat([tables["users"], bot]),
    }


def add_a_bag(tables: Tables) -> Tables:
    """Add one item that every user takes."""
    bag = (
        tables["items"].head(1).with_columns(item_id=pl.lit("bag"), description=pl.lit("A bag for all of the things."))
    )
    picture = tables["images"].head(1).with_columns(item_id=pl.lit("bag"), sha256=pl.lit("ff"))
    users = tables["users"]["user_id"]
    sales = pl.DataFrame({"user_id": users, "item_id": "bag", "timestamp": 1_650_000_000})
    return tables | {
        "items": pl.concat([tables["items"], bag]),
        "images": pl.concat([tables["images"], picture]),
        "interactions": pl.concat([tables["interactions"], sales.cast(pl.Schema(columns.INTERACTIONS))]),
    }


time = pl.col("timestamp")
description = pl.col("description")

FAULTS: dict[str, tuple[Fault, dict[str, str]]] = {
    "some unreadable pictures": (
        overwrite("images", 0.15, status="undecodable"),
        {"image_availability.images_mostly_decodable": WARNING},
    ),
    "mostly unreadable pictures": (
        overwrite("images", 0.6, status="undecodable"),
        {"image_availability.images_decodable": CRITICAL, "image_availability.images_mostly_decodable": WARNING},
    ),
    "one placeholder for many items": (
        overwrite("images", 0.05, sha256="00"),
        {"image_availability.pictures_not_placeholders": WARNING},
    ),
    "pictures shared by two items": (
        overwrite("images", 0.5, sha256=(pl.int_range(pl.len()) // 2).cast(pl.String)),
        {"image_availability.pictures_not_duplicated": WARNING},
    ),
    "tiny pictures": (
        overwrite("images", 0.05, width=1, height=1, bytes=43),
        {"image_availability.pictures_not_tiny": WARNING},
    ),
    "pictures of one colour": (
        overwrite("images", 0.05, bytes=1_500),
        {"image_availability.pictures_not_flat": WARNING},
    ),
    "banners": (overwrite("images", 0.1, width=2_000), {"image_availability.pictures_not_stretched": WARNING}),
    "duplicated interactions": (repeat_interactions, {"interactions.interactions_unique": CRITICAL}),
    "a user below the core": (shorten_a_history, {"k_core.users_reach_core": CRITICAL}),
    "unknown items": (
        overwrite("interactions", 0.001, item_id="gone " + pl.col("item_id")),
        {"k_core.items_known": CRITICAL},
    ),
    "unknown users": (
        overwrite("users", 0.004, status="below_core"),
        {"k_core.users_known": CRITICAL},
    ),
    "future timestamps": (
        overwrite("interactions", 0.01, timestamp=time + 10 * 365 * DAY),
        {"interactions.timestamps_not_in_future": CRITICAL},
    ),
    "millisecond timestamps": (
        overwrite("interactions", 1.0, timestamp=time * 1_000),
        {"interactions.timestamps_in_seconds": CRITICAL},
    ),
    "timestamps that count days": (
        overwrite("interactions", 1.0, timestamp=time // DAY),
        {"interactions.timestamps_not_too_early": WARNING},
    ),
    "same-second ties": (
        overwrite("interactions", 0.6, timestamp=1_600_000_000),
        {"interactions.timestamps_not_tied": WARNING},
    ),
    "one bot": (add_a_bot, {"interactions.users_human": WARNING}),
    "a bag that everyone takes": (
        add_a_bag,
        {"interactions.items_not_dominating": WARNING},
    ),
    "one category for everything": (
        overwrite("items", 1.0, category=pl.lit(["Everything"])),
        {"interactions.categories_vary": WARNING},
    ),
    "HTML as published": (
        overwrite("raw_texts", 0.6, description="<p>" + description + "</p>"),
        {"description_noise.raw_descriptions_without_html": WARNING},
    ),
    "HTML left after cleaning": (
        overwrite("items", 0.1, description=description + " &amp; more"),
        {"description_noise.descriptions_without_html": WARNING},
    ),
    "boilerplate": (
        overwrite("items", 0.3, description=description + " We ship the same day."),
        {"description_noise.descriptions_without_boilerplate": WARNING},
    ),
    "duplicated descriptions": (
        overwrite("items", 0.4, description="The shirt is made for you, and it is a good one."),
        {"description_noise.descriptions_not_duplicated": WARNING},
    ),
    "empty descriptions": (
        overwrite("items", 0.6, description=""),
        {"description_noise.descriptions_not_empty": WARNING},
    ),
    "some empty titles": (overwrite("items", 0.2, title=" "), {"description_noise.titles_mostly_not_empty": WARNING}),
    "mostly empty titles": (
        overwrite("items", 0.6, title=""),
        {"description_noise.titles_not_empty": CRITICAL, "description_noise.titles_mostly_not_empty": WARNING},
    ),
    "another language": (
        overwrite("items", 0.2, description="Das Hemd ist für die Arbeit und nicht rot. Nummer " + pl.col("item_id")),
        {"description_noise.descriptions_in_expected_language": WARNING},
    ),
}


@pytest.fixture(scope="module")
def great_expectations():
    """Import the slow library once, outside the tests' own times."""
    import great_expectations

    return great_expectations


def find_failed(tables: Tables) -> dict[str, str]:
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import build_checks, choose_runnable

    facts = gather_facts(tables, BOUNDS, repeats="first", now=NOW)
    checks, skipped = choose_runnable(build_checks(BOUNDS, PREPARED), facts.absent)
    assert skipped == []
    results = run_checks(checks, facts.frames)
    return {f"{result.suite}.{result.name}": result.severity for result in results if not result.passed}


def test_the_clean_catalog_raises_nothing(great_expectations) -> None:
    assert find_failed(make_clean_tables()) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_reported_by_its_checks_alone(great_expectations, fault: str) -> None:
    plant, expected = FAULTS[fault]
    assert find_failed(plant(make_clean_tables())) == expected


PAIR_CHECKS = {
    "image_text_pairs.pairs_better_than_shuffled": WARNING,
    "image_text_pairs.pairs_not_outliers": WARNING,
}


@pytest.mark.parametrize(("swapped", "expected"), [(False, {}), (True, PAIR_CHECKS)], ids=["clean", "swapped"])
def test_pictures_swapped_between_items_are_noticed(
    great_expectations, tmp_path, monkeypatch, swapped, expected
) -> None:
    from pipelines.cli import cli

    texts = draw_vectors()
    pictures = texts + 0.5 * draw_vectors(1)
    use_tower(monkeypatch, texts)
    root = write_project(tmp_path, pictures[::-1] if swapped else pictures, texts)
    outcome = CliRunner().invoke(cli, ["--root", str(root), "validate-features", "--dataset", "shop"])
    assert outcome.exception is None
    gate = read_gate(root)
    assert list_failed(gate) == expected
    outliers = next(check for check in gate["checks"] if check["name"] == "pairs_not_outliers")
    assert bool(outliers["offending"]) is swapped, "the items are named"
