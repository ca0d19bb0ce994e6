"""A catalog of your own.

Layout of the folder::

    interactions.csv      user_id,item_id,timestamp
    items.csv             item_id,title,brand,category,description
    images/<item_id>.jpg  or .jpeg .png .webp .gif .bmp
    added/                items added later, see :mod:`illmrec.data.readers.added`

Each table may also end in ``.csv.gz`` or ``.parquet``. ``timestamp`` is whole seconds since 1970 UTC, an ISO date or
an ISO date and time. ``category`` reads ``A > B > C``, most general first. Of items.csv only ``item_id`` is needed, and
the file itself may be missing.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from illmrec.columns import INTERACTIONS, ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.files.coded import CodedInteractions, InteractionCoder
from illmrec.data.files.csv_files import (
    iterate_records,
    parse_timestamp,
    read_header,
    read_interactions,
    require_columns,
)
from illmrec.data.files.picture_files import list_pictures, pictures_table
from illmrec.data.raw import (
    RAW_ITEMS,
    MissingItems,
    RawCatalog,
    ReadOptions,
    find_one,
    rejected_table,
    report_missing_items,
)
from illmrec.data.readers.added import read_batches
from illmrec.errors import DataError

ENDINGS = ("csv", "csv.gz", "parquet")
TEXTS = ("title", "brand", "category", "description")


def read(folder: Path, options: ReadOptions) -> RawCatalog:
    """Read the folder as :func:`illmrec.data.readers.read_raw` asks for it; see :func:`read_own`."""
    return read_own(folder, missing_items=options.missing_items)


def read_own(folder: Path, *, missing_items: MissingItems = "warn") -> RawCatalog:
    """Read a catalog of your own; see the module for the layout.

    Args:
        folder: the raw folder.
        missing_items: whether to go on without a table of items.

    Raises:
        DataError: when the interactions are missing or there twice, a column is missing, or a file is damaged.
    """
    _refuse_copies(folder, "interactions")
    _refuse_copies(folder, "items")
    path = find_one(folder, [f"interactions.{ending}" for ending in ENDINGS], "table of interactions")
    if path.suffix == ".parquet":
        interactions, rejected, rows = _read_parquet_interactions(path)
    else:
        names = {name: name for name in INTERACTIONS}
        interactions, rejected, rows = read_interactions(path, names, parse_timestamp())
    items_path = next((p for e in ENDINGS if (p := folder / f"items.{e}").is_file()), None)
    items, items_rejected, item_rows = _read_items(items_path)
    warnings = () if items_path else report_missing_items(folder / "items.csv", missing_items, "texts")
    pictures = [(item, 0, f"images/{name}") for item, name in list_pictures(folder / "images").items()]
    added, added_pictures = read_batches(folder)
    known = {item for item, _, _ in pictures}
    pictures += [row for row in added_pictures if row[0] not in known]
    return RawCatalog(
        interactions=interactions,
        items=items.vstack(added),
        extra_users=pl.Series(USER_ID, [], pl.String),
        pictures=pictures_table(pictures),
        rejected=rejected.vstack(items_rejected),
        rows={path.name: rows} | ({items_path.name: item_rows} if items_path else {}),
        counts={"raw_interaction_rows": rows, "raw_item_rows": item_rows, "added_item_rows": added.height},
        warnings=warnings,
    )


def _refuse_copies(folder: Path, table: str) -> None:
    """Refuse a table that is there in two forms: one of them would be passed over without a word."""
    found = [name for ending in ENDINGS if (folder / (name := f"{table}.{ending}")).is_file()]
    if len(found) > 1:
        hint = "Keep one of them in the folder."
        raise DataError(f"holds the same table more than once: {', '.join(found)}.", path=folder, hint=hint)


def _read_items(path: Path | None) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    if path is None:
        return pl.DataFrame(schema=RAW_ITEMS), rejected_table(), 0
    if path.suffix == ".parquet":
        return _read_parquet_items(path)
    require_columns(path, read_header(path), [ITEM_ID])
    columns: dict[str, list[str | None]] = {name: [] for name in (ITEM_ID, *TEXTS)}
    rejected: list[tuple[str, int, str]] = []
    for line, record in iterate_records(path):
        reason = "wrong number of fields" if record is None else "" if record[ITEM_ID].strip() else "no item"
        if record is None or reason:
            rejected.append((path.name, line, reason))
            continue
        for name, values in columns.items():
            values.append(record.get(name))
    table = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return _split_category(table), rejected_table(rejected), table.height + len(rejected)


def _read_parquet_items(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    table = _read_parquet(path, [ITEM_ID])
    table = table.select(
        pl.col(ITEM_ID),
        *(pl.col(name) if name in table.columns else pl.lit(None, pl.String).alias(name) for name in TEXTS),
    )
    blank = table[ITEM_ID].is_null() | (table[ITEM_ID].str.strip_chars() == "")
    rejected = rejected_table((path.name, row + 1, "no item") for row in blank.arg_true())
    return _split_category(table.filter(~blank)), rejected, table.height


def _read_parquet_interactions(path: Path) -> tuple[CodedInteractions, pl.DataFrame, int]:
    table = _read_parquet(path, list(INTERACTIONS))
    kind = table.schema[TIMESTAMP]
    if kind == pl.String:
        seconds = parse_timestamp()
    elif kind.is_temporal():
        seconds = pl.col(TIMESTAMP).cast(pl.Datetime("us")).dt.epoch("s")
    else:
        seconds = pl.col(TIMESTAMP).cast(pl.Int64, strict=False)
    gathering = InteractionCoder(path.name)
    gathering.add(table[USER_ID], table[ITEM_ID], table.select(seconds).to_series())
    interactions, rejected = gathering.finish()
    return interactions, rejected, table.height


def _read_parquet(path: Path, needed: list[str]) -> pl.DataFrame:
    """Read a Parquet file whose ids are text or whole numbers and return the ids as text."""
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not readable as Parquet: {first}.", path=path, hint="Write the file again.") from None
    require_columns(path, table.columns, needed)
    for name in (USER_ID, ITEM_ID):
        kind = table.schema.get(name)
        if kind is not None and not (kind == pl.String or kind.is_integer()):
            raise DataError(f"column {name!r} is {kind}, expected text or whole numbers.", path=path)
    return table.with_columns(pl.col(name).cast(pl.String) for name in (USER_ID, ITEM_ID) if name in table.columns)


def _split_category(table: pl.DataFrame) -> pl.DataFrame:
    if table.schema["category"] == pl.String:
        table = table.with_columns(pl.col("category").str.split(" > "))
    return table.cast(pl.Schema(RAW_ITEMS)).select(list(RAW_ITEMS))
