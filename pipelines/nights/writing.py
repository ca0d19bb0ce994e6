"""A night on disk: what is there of it, its files, the pointer that readers follow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import USER_ID
from illmrec.errors import DataError
from illmrec.scoring.output import Night, check_run, find_latest, find_latest_date, move_pointer, write_run
from illmrec.scoring.retention import prune_nights
from pipelines.nights.inputs import Inputs

log = logging.getLogger(__name__)


def read_written(folder: Path) -> pl.DataFrame | None:
    """Return the rows of a run that is there and intact, by user and rank."""
    if not folder.is_dir():
        return None
    try:
        return Night(folder, check_run(folder)).read().sort(USER_ID, "rank")
    except DataError as error:
        log.warning("the run is damaged and written anew: %s", error)
        return None


def write_night(inputs: Inputs, table: pl.DataFrame, published: Night | None) -> Path:
    """Write the rows whole; return where. What readers are pointed to is never replaced, but written beside."""
    folder = inputs.run_folder
    if published is not None and published.folder == folder:
        folder = _find_free_name(folder)
    with atomic.write_folder(folder) as partial:
        write_run(partial, table, inputs.config.partitions, describe_night(inputs), inputs.config.formats)
    return folder


def _find_free_name(folder: Path) -> Path:
    number = 2
    while folder.with_name(f"{folder.name}-{number}").exists():
        number += 1
    return folder.with_name(f"{folder.name}-{number}")


def describe_night(inputs: Inputs) -> dict[str, Any]:
    """Return what the manifest says besides files."""
    version = inputs.files.version
    return {
        "date": inputs.day.isoformat(),
        "model": version.name,
        "model_version": version.number,
        "onnx_sha256": version.tags["onnx_sha256"],
        "users_by_model": len(inputs.audience.warm),
        "users_by_popularity": len(inputs.audience.cold),
        "items_withdrawn": int((~inputs.offer.allowed).sum()),
    }


def publish_night(inputs: Inputs, folder: Path, publish: bool | None) -> dict[str, Any]:
    """Move the pointer if that is wanted, then remove old nights.

    Args:
        inputs: what the night was made of.
        folder: where it was written.
        publish: whether to move it; None: unless a later night is published.
    """
    exports = inputs.layout.exports
    published = find_latest_date(exports)
    later = published is not None and published > inputs.day.isoformat()
    wanted = not later if publish is None else publish
    if wanted:
        move_pointer(exports, folder)
    elif publish is None:
        log.warning("the night %s stays published; --publish points readers to the older one.", published)
    try:
        current: Path | None = find_latest(exports).folder
    except DataError:
        current = None
    # Tonight's run stays too, though it may be a backfill of a date that is out of the window.
    removed = [] if current is None else prune_nights(exports, inputs.config.keep_nights, (current, folder))
    return {"published": wanted, "nights_removed": len(removed)}
