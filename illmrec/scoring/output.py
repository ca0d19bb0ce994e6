"""Nightly recommendations as partitioned files that are published whole.

``dt=YYYY-MM-DD/run=<id>/part-00000.parquet ...`` with a ``manifest.json`` of counts and digests; ``latest.json`` beside
the dates names the run that readers should take and moves last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, USER_ID
from illmrec.errors import DataError
from illmrec.seeds import derive_seed

MANIFEST, POINTER = "manifest.json", "latest.json"

RECOMMENDATIONS = {
    USER_ID: pl.String,
    "rank": pl.Int32,
    ITEM_ID: pl.String,
    "score": pl.Float32,
    "share_image": pl.Float32,
    "share_cf": pl.Float32,
    "share_text": pl.Float32,
    "reason": pl.String,
    "image_fallback": pl.Boolean,
    "model_version": pl.String,
}
"""One row per user and rank. Shares sum to the score; they are null where the reason is not ``model`` or the model has
no such feature type. ``image_fallback`` says that the item has no readable picture and text stood in for it."""


def choose_partition(user_id: str, partitions: int) -> int:
    """Return the part of a user: a function of the id alone, the same on every machine."""
    return derive_seed("partition", user_id) % partitions


def write_run(folder: Path, table: pl.DataFrame, partitions: int, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write parts and manifest into an existing ``folder``; return the manifest. Equal tables give equal bytes.

    Args:
        folder: where to write; publish it by rename.
        table: :data:`RECOMMENDATIONS`, sorted by user and rank.
        partitions: number of part files, written even where empty.
        about: facts for the manifest.
    """
    users = table[USER_ID].unique().sort()
    numbers = pl.Series([choose_partition(user, partitions) for user in users], dtype=pl.Int64)
    placed = table.with_columns(part=table[USER_ID].replace_strict(users, numbers, return_dtype=pl.Int64))
    files = {}
    for number in range(partitions):
        part = placed.filter(pl.col("part") == number).drop("part")
        path = folder / f"part-{number:05d}.parquet"
        atomic.write_parquet(path, part)
        files[path.name] = {
            "rows": part.height,
            "users": part[USER_ID].n_unique(),
            "sha256": atomic.digest_file(path),
        }
    manifest = {**about, "rows": table.height, "users": len(users), "files": files}
    atomic.write_json(folder / MANIFEST, manifest)
    return manifest


def check_run(folder: Path) -> dict[str, Any]:
    """Return the manifest of a written run after checking every file against it.

    Raises:
        DataError: when a file is missing, extra or differs from its digest.
    """
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    found = {path.name for path in folder.glob("part-*.parquet")}
    for name in sorted(found | set(manifest["files"])):
        entry = manifest["files"].get(name)
        if entry is None or name not in found or atomic.digest_file(folder / name) != entry["sha256"]:
            hint = "Run `illmrec recommend` for that date again."
            raise DataError("the part differs from the manifest.", path=folder / name, hint=hint)
    return manifest


def move_pointer(exports: Path, run: Path) -> None:
    """Make ``run`` the one that readers take."""
    atomic.write_json(exports / POINTER, {"run": run.relative_to(exports).as_posix()})


def read_latest(exports: Path) -> pl.DataFrame:
    """Return the published recommendations.

    Raises:
        DataError: when nothing is published, or what is differs from its manifest.
    """
    pointer = exports / POINTER
    if not pointer.is_file():
        raise DataError("nothing is published yet.", path=pointer, hint="Run `illmrec recommend`.")
    folder = exports / json.loads(pointer.read_text(encoding="utf-8"))["run"]
    manifest = check_run(folder)
    return pl.concat([pl.read_parquet(folder / name) for name in sorted(manifest["files"])])
