"""Finding picture files by listing folders; no path is ever built from an item's id."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.data.raw import PICTURES

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
"""Accepted endings in order of preference, in lower or upper case."""


def list_pictures(folder: Path) -> dict[str, str]:
    """Return {file name without its ending: file name} of the pictures directly in ``folder``.

    Where two endings share a stem, the earlier one in :data:`SUFFIXES` is taken. No folder, no pictures.
    """
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries)
    found: dict[str, str] = {}
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
