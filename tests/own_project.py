"""A small project turned into a catalog of one's own, so that items can be added to it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from tests.integration.conftest import run_ok

Project = tuple[Path, dict[str, dict[str, Any]]]


def copy_project(source: Path, root: Path) -> Path:
    """Copy a finished project with its registry, whose addresses are changed to the copy's."""
    from mlflow.tracking._tracking_service import utils

    shutil.copytree(source, root, symlinks=True)
    with sqlite3.connect(root / "mlflow.db") as database:
        database.execute("PRAGMA synchronous = OFF")  # a copy that a power cut takes is no loss
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info({table})").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT", "CHAR")):
                    change = f"UPDATE {table} SET {column} = REPLACE({column}, ?, ?) WHERE {column} LIKE ?"
                    database.execute(change, (str(source), str(root), f"%{source}%"))
    # MLflow remembers by a run's id where its files are, and the copy has the same runs: what a test attached to one
    # would land in the project that this process opened first.
    utils._artifact_repos_cache.clear()
    return root


def copy_with_outputs(project: Project, root: Path) -> Project:
    """Copy a finished project, and what its commands printed with the copy's addresses in it."""
    source, printed = project
    copy_project(source, root)
    return root, json.loads(json.dumps(printed).replace(str(source), str(root)))


def copy_as_own(source: Path, root: Path) -> Path:
    """Copy a finished project and put its data into the own format: the same ids, so all its artifacts stay valid."""
    copy_project(source, root)
    prepared = root / "artifacts" / "shop" / "prepared"
    folder = root / "data" / "own"
    (folder / "images").mkdir(parents=True)
    tables = [pl.read_parquet(prepared / f"{name}.parquet") for name in ("interactions", "interactions_below_core")]
    pl.concat(tables).write_csv(folder / "interactions.csv")
    pl.read_parquet(prepared / "raw_texts.parquet").write_parquet(folder / "items.parquet")
    for item, reference, status in (
        pl.read_parquet(prepared / "images.parquet").select("item_id", "image_ref", "status").iter_rows()
    ):
        if status == "ok":
            picture = root / "data" / "shop" / reference
            shutil.copyfile(picture, folder / "images" / f"{item}{picture.suffix}")
    params = (root / "params.yaml").read_text(encoding="utf-8")
    changed = params.replace("{format: amazon, folder: data/shop,", "{format: own, folder: data/own,")
    assert changed != params
    (root / "params.yaml").write_text(changed, encoding="utf-8")
    before = pl.read_parquet(prepared / "items.parquet")["item_id"].to_list()
    run_ok(root, "prepare")
    run_ok(root, "validate")
    assert pl.read_parquet(prepared / "items.parquet")["item_id"].to_list() == before
    return root


def write_new_items(folder: Path, ids: list[str], *, pictures: bool = True) -> Path:
    """Write a table of new items with a picture each."""
    (folder / "pictures").mkdir(parents=True)
    rows = []
    for number, item in enumerate(ids):
        if pictures:
            colour = (37 * number % 256, 91 * number % 256, 200)
            Image.new("RGB", (64, 64), colour).save(folder / "pictures" / f"{number}.png")
        rows.append(
            {
                "item_id": item,
                "title": f"New thing {number}",
                "brand": "Newcomer",
                "category": "Home > New",
                "description": f"A thing that arrived today, number {number}, with details of its own.",
                "image": f"pictures/{number}.png" if pictures else "",
            }
        )
    pl.DataFrame(rows).write_csv(folder / "items.csv")
    return folder
