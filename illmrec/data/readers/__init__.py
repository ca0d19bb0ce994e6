"""Readers of publishers' folders, one module per layout, each with a function ``read``; imported when it is needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

from illmrec.data.raw import MissingItems, Pictures, RawCatalog, ReadOptions
from illmrec.errors import DataError

Format = Literal["amazon", "goodbooks", "hm", "microlens", "own"]


def read_raw(
    layout: Format,
    folder: Path,
    *,
    pictures: Pictures = "frames",
    missing_items: MissingItems = "warn",
    min_rating: int = 1,
) -> RawCatalog:
    """Read the raw files of a catalog: interactions, items, pictures. Nothing is cleaned, joined or removed yet.

    The layouts, each drawn in the module of its reader:

    - ``amazon``: Amazon Reviews 2018, reviews and metadata as gzipped JSON lines
    - ``goodbooks``: Goodbooks-10k
    - ``hm``: H&M Personalized Fashion Recommendations
    - ``microlens``: MicroLens, with covers or frames
    - ``own``: ``interactions.csv`` (user_id, item_id, timestamp), ``items.csv`` and ``images/<item_id>.jpg``

    Args:
        layout: whose files they are.
        folder: where they lie.
        pictures: MicroLens only: whether a video is shown by its frames or by its cover.
        missing_items: Amazon, Goodbooks and own: whether to go on where the file that describes items is missing.
        min_rating: Goodbooks only: lowest rating that counts as an interaction.

    Raises:
        DataError: when the folder, a file or a column is missing, or a file is damaged.

    Example:
        >>> raw = illmrec.read_raw("own", Path("data/shop"))
        >>> raw.rows
        {'interactions.csv': 12, 'items.csv': 4}
        >>> raw.interactions.decode().row(0)
        ('ann', 'lamp', 1767225600)
    """
    if not folder.is_dir():
        raise DataError(
            "there is no such folder of raw files.",
            path=folder,
            hint="Put the publisher's files there, or make small synthetic catalogs with `illmrec sample`.",
        )
    reader = importlib.import_module(f"{__name__}.{layout}")
    catalog: RawCatalog = reader.read(folder, ReadOptions(pictures, missing_items, min_rating))
    return catalog
