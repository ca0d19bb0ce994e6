"""Small prepared tables that pass every check; each test damages them in one way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from illmrec import columns
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.parameters.reading import STAGES

Tables = dict[str, pl.DataFrame]

USERS, ITEMS, HISTORY = 12, 12, 4


@pytest.fixture
def tables() -> Tables:
    """12 users with 4 interactions each, in a ring over 12 items: every item has 4 as well."""
    users = [f"u{index:02}" for index in range(USERS)]
    items = [f"i{index:02}" for index in range(ITEMS)]
    words = ["red", "blue", "long", "short", "warm", "thin", "bright", "matte", "heavy", "small", "round", "soft"]
    interactions = {
        "user_id": [user for user in users for _ in range(HISTORY)],
        "item_id": [items[(user + step) % ITEMS] for user in range(USERS) for step in range(HISTORY)],
        "timestamp": [1_600_000_000 + step for _ in range(USERS) for step in range(HISTORY)],
    }
    catalog = {
        "item_id": items,
        "title": [f"{word} shirt" for word in words],
        "brand": "",
        "category": [["Clothing", f"Shirts {place % 4}"] for place in range(ITEMS)],
        "description": [f"This {word} shirt is made for {word} days. Wash it {word}." for word in words],
        "image_ref": [f"{item}.jpg" for item in items],
        "image_status": "ok",
    }
    pictures = {"item_id": items, "position": 0, "image_ref": "", "status": "ok", "reason": ""}
    sizes = {"sha256": [f"{item:0>64}" for item in items], "width": 300, "height": 400, "bytes": 30_000}
    return {
        "interactions": pl.DataFrame(interactions, schema=columns.INTERACTIONS),
        "items": pl.DataFrame(catalog, schema=columns.ITEMS),
        "images": pl.DataFrame(pictures | sizes, schema=columns.IMAGES),
        "users": pl.DataFrame({"user_id": users, "status": "core"}, schema=columns.USERS),
        "raw_texts": pl.DataFrame({name: catalog[name] for name in columns.RAW_TEXTS}, schema=columns.RAW_TEXTS),
    }


@pytest.fixture
def bounds() -> ValidateConfig:
    """Bounds of a size that suits the tables."""
    return ValidateConfig(min_users=10, min_items=10, language="en")


@pytest.fixture
def prepared() -> PrepareConfig:
    """A k-core the tables satisfy."""
    return PrepareConfig(format="own", folder="data/own", user_core=4, item_core=4)


@pytest.fixture
def project(tmp_path: Path, tables: Tables) -> Callable[[Tables], Path]:
    """Return a function that writes a project with the given prepared tables and returns its root."""

    def write(changed: Tables) -> Path:
        folder = tmp_path / "artifacts" / "shop" / "prepared"
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in (tables | changed).items():
            table.write_parquet(folder / f"{name}.parquet")
        sections: dict[str, dict] = {name: {} for name in STAGES}
        own = {
            "prepare": {"format": "own", "folder": "data/own", "user_core": 4, "item_core": 4},
            "validate": {"min_users": 10, "min_items": 10},
        }
        (tmp_path / "params.yaml").write_text(json.dumps({"datasets": {"shop": sections | own}}))
        return tmp_path

    return write
