"""Items that were added to a catalog of your own after its tables were written.

Layout below the raw folder::

    added/<batch>/items.parquet   item_id, title, brand, category (list), description, picture
    added/<batch>/images/         pictures, named by their content

``picture`` is a file name in ``images/``, empty where the item has none. A batch is published by one rename; folders
that begin with a dot are unfinished.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.data.raw import RAW_ITEMS
from illmrec.errors import DataError

ADDED = "added"
PICTURE = "picture"
BATCH = {**RAW_ITEMS, PICTURE: pl.String}
"""Columns of a batch's items.parquet."""


def list_batches(folder: Path) -> list[str]:
    """Return the names of all batches below a raw folder, in order."""
    place = folder / ADDED
    if not place.is_dir():
        return []
    return sorted(path.name for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def read_batches(folder: Path) -> tuple[pl.DataFrame, list[tuple[str, int, str]]]:
    """Return the raw items of all batches, and (item, position, reference) of their pictures.

    Raises:
        DataError: when a batch is damaged or names a picture outside its own folder.
    """
    tables = [read_batch(folder, name) for name in list_batches(folder)]
    pictures = [
        (item, 0, f"{ADDED}/{name}/images/{picture}")
        for name, table in zip(list_batches(folder), tables, strict=True)
        for item, picture in table.select(ITEM_ID, PICTURE).iter_rows()
        if picture
    ]
    items = [table.select(list(RAW_ITEMS)) for table in tables]
    return (pl.concat(items) if items else pl.DataFrame(schema=RAW_ITEMS)), pictures


def read_batch(folder: Path, name: str) -> pl.DataFrame:
    """Return one batch, columns of :data:`BATCH`.

    Raises:
        DataError: when it is damaged.
    """
    path = folder / ADDED / name / "items.parquet"
    hint = f"Remove the folder {path.parent} and add its items again."
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not readable: {first}.", path=path, hint=hint) from None
    if dict(table.schema) != BATCH:
        raise DataError(f"has the columns {dict(table.schema)}, expected {BATCH}.", path=path, hint=hint)
    odd = table.filter(pl.col(PICTURE).str.contains(r"[/\\]|^\.") | (pl.col(ITEM_ID).fill_null("") == ""))
    if odd.height:
        raise DataError(f"has a row that no command wrote: {odd.row(0)!r:.200}.", path=path, hint=hint)
    return table
