"""MicroLens as published (50k and 100k): short videos, comments as interactions.

Layout of the folder, `100k` or `50k` standing in each name::

    MicroLens-100k_pairs.csv       user,item,timestamp with a header; timestamp in milliseconds
    MicroLens-100k_title_en.csv    item,title without a header; MicroLens-50k_titles.csv has one
    MicroLens-100k_covers/<item>.jpg
    MicroLens-100k_frames_interval_1_number_5/<item>-<n>.jpg

Folders of covers and frames are known by these words in their names, and an archive that was unpacked into a folder of
its own name is read too. Frames cut by other tools may be called ``<item>_<n>.jpg`` or ``<item>/<n>.jpg``. There are no
descriptions: the title carries all the text. Further files (tags, likes and views, comments, the tab-separated pairs,
audio, videos) are not read.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import polars as pl

from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.files.csv_files import iterate_records, read_header, read_interactions
from illmrec.data.files.picture_files import list_folders, list_pictures, pictures_table
from illmrec.data.raw import RawCatalog, ReadOptions, find_one, items_table, rejected_table

TITLE_COLUMNS = ("item", "title")
TITLE_PATTERNS = ("*_title_en.csv", "*_titles_en.csv", "*_titles.csv", "*_title.csv")
MILLISECONDS = 1000
_FLAT_FRAME = re.compile(r"(?P<item>.+)[-_](?P<number>[0-9]{1,9})")


def read(folder: Path, options: ReadOptions) -> RawCatalog:
    """Read the folder as :func:`illmrec.data.readers.read_raw` asks for it; see :func:`read_microlens`."""
    return read_microlens(folder, pictures=options.pictures)


def read_microlens(folder: Path, *, pictures: Literal["frames", "cover"]) -> RawCatalog:
    """Read a MicroLens folder; see the module for the layout.

    Args:
        folder: the raw folder.
        pictures: ``frames`` takes every frame of a video in natural order, or its cover where it has none; ``cover``
            takes the cover only.

    Raises:
        DataError: when a file or column is missing, or a file is damaged.
    """
    pairs = find_one(folder, ["*_pairs.csv"], "table of interactions")
    titles = find_one(folder, TITLE_PATTERNS, "table of titles")
    columns = dict(zip((USER_ID, ITEM_ID, TIMESTAMP), ("user", "item", "timestamp"), strict=True))
    seconds = pl.col(TIMESTAMP).str.strip_chars().cast(pl.Int64, strict=False) // MILLISECONDS
    interactions, rejected, rows = read_interactions(pairs, columns, seconds)
    items, items_rejected, item_rows = _read_titles(titles)
    covers = _find_covers(folder)
    shown = {item: [cover] for item, cover in covers.items()}
    if pictures == "frames":
        shown |= _find_frames(folder)
    return RawCatalog(
        interactions=interactions,
        items=items,
        extra_users=pl.Series(USER_ID, [], pl.String),
        pictures=pictures_table(
            (item, position, reference)
            for item, references in shown.items()
            for position, reference in enumerate(references)
        ),
        rejected=rejected.vstack(items_rejected),
        rows={pairs.name: rows, titles.name: item_rows},
        counts={"raw_interaction_rows": rows, "raw_item_rows": item_rows},
    )


def _read_titles(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    has_header = [name.strip() for name in read_header(path)] == list(TITLE_COLUMNS)
    rows: list[tuple[str, str, None, list[str], str]] = []
    rejected: list[tuple[str, int, str]] = []
    for line, record in iterate_records(path, None if has_header else TITLE_COLUMNS):
        if record is None or not record["item"].strip():
            rejected.append((path.name, line, "no item" if record else "wrong number of fields"))
            continue
        rows.append((record["item"], record["title"], None, [], ""))
    items = items_table(rows)
    return items, rejected_table(rejected), items.height + len(rejected)


def _find_covers(folder: Path) -> dict[str, str]:
    return {
        item: f"{name}/{file}"
        for name in _find_folders(folder, "cover")
        for item, file in list_pictures(folder / name).items()
    }


def _find_frames(folder: Path) -> dict[str, list[str]]:
    """Return the frames of each video in natural order (2 before 10)."""
    numbered: dict[str, list[tuple[int, str]]] = {}
    folders = _find_folders(folder, "frame")
    for name in folders:
        for stem, file in list_pictures(folder / name).items():
            if parts := _FLAT_FRAME.fullmatch(stem):
                numbered.setdefault(parts["item"], []).append((int(parts["number"]), f"{name}/{file}"))
        for item in (below for below in list_folders(folder / name) if f"{name}/{below}" not in folders):
            for stem, file in list_pictures(folder / name / item).items():
                digits = re.findall(r"[0-9]+", stem)
                numbered.setdefault(item, []).append((int(digits[-1]) if digits else 0, f"{name}/{item}/{file}"))
    return {item: [reference for _, reference in sorted(frames)] for item, frames in numbered.items()}


def _find_folders(folder: Path, word: str) -> list[str]:
    """Return the folders with ``word`` in their names, and those inside these that have it too."""
    outer = [name for name in list_folders(folder) if word in name.lower()]
    inner = [f"{name}/{below}" for name in outer for below in list_folders(folder / name) if word in below.lower()]
    return outer + inner
