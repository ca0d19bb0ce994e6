"""Nightly recommendations as partitioned files that are published whole.

``dt=YYYY-MM-DD/run=<id>/part-00000.parquet ...`` with a ``manifest.json`` of counts and digests; ``latest.json`` beside
the dates names the run that readers should take and moves last.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, USER_ID, Schema
from illmrec.errors import DataError
from illmrec.scoring.formats import WRITERS
from illmrec.seeds import derive_seed

MANIFEST, POINTER = "manifest.json", "latest.json"

RECOMMENDATIONS: Schema = {
    USER_ID: pl.String,
    "rank": pl.Int32,
    ITEM_ID: pl.String,
    "score": pl.Float32,
    "share_image": pl.Float32,
    "share_cf": pl.Float32,
    "share_text": pl.Float32,
    "reason": pl.String,
    "image_fallback": pl.Boolean,
    "new_item": pl.Boolean,
    "model_version": pl.String,
}
"""One row per user and rank. Shares sum to the score; they are null where the reason is not ``model`` or the model has
no such feature type. ``image_fallback`` says that the item has no readable picture and text stood in for it;
``new_item`` that it has no CF vector of its own, because nobody had taken it when SASRec was trained (null where the
model reads no CF vectors)."""


@dataclass(frozen=True)
class Night:
    """A written run."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def date(self) -> str:
        """The night's date, YYYY-MM-DD."""
        return str(self.manifest["date"])

    @property
    def model(self) -> str:
        """Name and version of the model, as rows have it."""
        return f"{self.manifest['model']}/{self.manifest['model_version']}"

    def read(self) -> pl.DataFrame:
        """Return all rows, by part; digests are compared when the night is opened."""
        return pl.concat([pl.read_parquet(self.folder / name) for name in sorted(self.manifest["files"])])


def choose_partition(user_id: str, partitions: int) -> int:
    """Return the part of a user: a function of the id alone, the same on every machine."""
    return derive_seed("partition", user_id) % partitions


def write_run(
    folder: Path,
    table: pl.DataFrame,
    partitions: int,
    about: Mapping[str, Any],
    formats: Sequence[str] = ("parquet",),
) -> dict[str, Any]:
    """Write parts and manifest into an existing ``folder``; return the manifest. Equal tables give equal bytes.

    Args:
        folder: where to write; publish it by rename.
        table: :data:`RECOMMENDATIONS`, sorted by user and rank.
        partitions: number of part files, written even where empty.
        about: facts for the manifest.
        formats: files of each part, Parquet among them (see :data:`illmrec.scoring.formats.WRITERS`).
    """
    users = table[USER_ID].unique().sort()
    numbers = pl.Series([choose_partition(user, partitions) for user in users], dtype=pl.Int64)
    placed = table.with_columns(part=table[USER_ID].replace_strict(users, numbers, return_dtype=pl.Int64))
    files: dict[str, dict[str, Any]] = {}
    copies: dict[str, dict[str, Any]] = {}
    for number in range(partitions):
        part = placed.filter(pl.col("part") == number).drop("part")
        for name in formats:
            path = folder / f"part-{number:05d}.{name}"
            WRITERS[name](path, part)
            (files if name == "parquet" else copies)[path.name] = {
                "rows": part.height,
                "users": part[USER_ID].n_unique(),
                "sha256": atomic.digest_file(path),
            }
    manifest = {**about, "rows": table.height, "users": len(users), "files": files, "copies": copies}
    atomic.write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a written run.

    Raises:
        DataError: when it is missing or no manifest.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest["files"], dict) or not isinstance(manifest.setdefault("copies", {}), dict):
            raise TypeError("no lists of files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read: {error}", path=folder / MANIFEST, hint=_AGAIN) from None
    return manifest


_AGAIN = "Run `illmrec recommend` for that date again."


def check_run(folder: Path) -> dict[str, Any]:
    """Return the manifest of a written run after checking every file against it.

    Raises:
        DataError: when a file is missing, extra or differs from its digest.
    """
    manifest = read_manifest(folder)
    listed = manifest["files"] | manifest["copies"]
    found = {path.name for path in folder.glob("part-*")}
    for name in sorted(found | set(listed)):
        _check_file(folder, name, listed.get(name) if name in found else None)
    return manifest


def _check_file(folder: Path, name: str, entry: Mapping[str, Any] | None) -> None:
    if entry is None or not (folder / name).is_file() or atomic.digest_file(folder / name) != entry["sha256"]:
        raise DataError("the part differs from the manifest.", path=folder / name, hint=_AGAIN)


def move_pointer(exports: Path, run: Path) -> None:
    """Make ``run`` the one that readers take."""
    about = {"run": run.relative_to(exports).as_posix(), "manifest_sha256": atomic.digest_file(run / MANIFEST)}
    atomic.write_json(exports / POINTER, about)


def find_latest(exports: Path) -> Night:
    """Return the published night, its manifest compared with the pointer, its parts not yet.

    Raises:
        DataError: when nothing is published, or the manifest is not the published one.
    """
    pointer = exports / POINTER
    if not pointer.is_file():
        raise DataError("nothing is published yet.", path=pointer, hint="Run `illmrec recommend`.")
    try:
        about = json.loads(pointer.read_text(encoding="utf-8"))
        folder = exports / str(about["run"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"is no pointer to a night: {error}", path=pointer, hint=_AGAIN) from None
    manifest = read_manifest(folder)
    if "manifest_sha256" in about and atomic.digest_file(folder / MANIFEST) != about["manifest_sha256"]:
        raise DataError("the manifest differs from the published one.", path=folder / MANIFEST, hint=_AGAIN)
    return Night(folder, manifest)


def find_latest_date(exports: Path) -> str | None:
    """Return the date of the published night, YYYY-MM-DD, damaged or not; None where the pointer names none."""
    try:
        run = json.loads((exports / POINTER).read_text(encoding="utf-8"))["run"]
        return datetime.date.fromisoformat(str(run).split("/")[0].removeprefix("dt=")).isoformat()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_latest(exports: Path) -> pl.DataFrame:
    """Return the published recommendations of all users, a row per user and rank; docs/nightly.md has the columns.

    Args:
        exports: folder of a data set's nights; ``latest.json`` there names the one that is published.

    Raises:
        DataError: when nothing is published, or what is differs from its manifest.

    Example:
        >>> table = illmrec.read_latest(Path("exports/shop"))
        >>> table.height, table.columns[:4]
        (6, ['user_id', 'rank', 'item_id', 'score'])
    """
    night = find_latest(exports)
    check_run(night.folder)
    return night.read()


def read_user(exports: Path, user_id: str) -> pl.DataFrame:
    """Return one user's published rows, best first; none for a user the night does not know.

    Only the user's part is read and compared with its digest.

    Args:
        exports: folder of a data set's nights.
        user_id: as in the raw data, letter for letter.

    Raises:
        DataError: when nothing is published, or the part differs from its manifest.

    Example:
        >>> illmrec.read_user(Path("exports/shop"), "ann").select("rank", "item_id").rows()
        [(1, 'rug'), (2, 'kit')]
    """
    night = find_latest(exports)
    name = f"part-{choose_partition(user_id, len(night.manifest['files'])):05d}.parquet"
    _check_file(night.folder, name, night.manifest["files"].get(name))
    return pl.read_parquet(night.folder / name).filter(pl.col(USER_ID) == user_id).sort("rank")
