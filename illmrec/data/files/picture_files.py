"""Finding pictures by listing folders and the index of shards; no path is ever built from an item's id."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.data.raw import PICTURES
from illmrec.data.shards import list_sharded_pictures

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
"""Accepted endings in order of preference, in lower or upper case."""


def list_pictures(folder: Path) -> dict[str, str]:
    """Return {item: reference relative to ``folder``} of the pictures in it.

    A loose file stands for the item that its name without the ending says; where two endings share a stem, the earlier
    one in :data:`SUFFIXES` is taken. Downloaded pictures come from the index of shards (:mod:`illmrec.data.shards`); a
    loose file of the same item wins. No folder, no pictures.

    Raises:
        DataError: when there is an index of shards and it is damaged.
    """
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    found = list_sharded_pictures(folder)
    for suffix in reversed(SUFFIXES):
        found.update({name[: -len(suffix)]: name for name in names if name.lower().endswith(suffix)})
    return found


def list_folders(folder: Path) -> list[str]:
    """Return the sorted names of the folders directly in ``folder``."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def pictures_table(rows: Iterable[tuple[str, int, str]]) -> pl.DataFrame:
    """Return :data:`illmrec.data.raw.PICTURES` sorted by item and position from (item, position, reference)."""
    return pl.DataFrame(list(rows), schema=PICTURES, orient="row").sort(ITEM_ID, "position")
