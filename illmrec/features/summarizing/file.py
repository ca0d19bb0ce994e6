"""Summaries that somebody else made, from a CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from illmrec.columns import ITEM_ID, SUMMARIES
from illmrec.data.files.csv_files import iterate_records, read_header, require_columns
from illmrec.data.text import clean_text
from illmrec.errors import DataError

ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class GivenSummaries:
    """What a file says about a catalog's items."""

    texts: dict[str, str]
    """item_id -> summary without markup, for items of the catalog; never empty."""
    unknown: int
    """Rows of items that the catalog does not hold."""


def read_summaries(path: Path, item_ids: Collection[str]) -> GivenSummaries:
    """Read a table with the columns item_id and summary; others are ignored.

    Args:
        path: ``.csv``, ``.csv.gz`` (UTF-8, the first line names the columns) or ``.parquet``.
        item_ids: the catalog's items, in a collection that is quick to look up.

    Raises:
        DataError: when there is no such file, it cannot be read, lacks a column, or has a row without an item_id, with
            another number of fields than the header, or about an item that an earlier row is about.
    """
    if not path.is_file():
        hint = "Put the file there, or correct summarize.file; relative paths start at the project's root."
        raise DataError("there is no file of summaries.", path=path, hint=hint)
    if not path.name.endswith(ENDINGS):
        hint = "Write the table as CSV or Parquet and name that file in summarize.file."
        raise DataError(f"ends in {path.suffix!r}, expected one of {', '.join(ENDINGS)}.", path=path, hint=hint)
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    unknown = 0
    for line, item_id, summary in _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path):
        if not item_id.strip():
            raise DataError("has no item_id.", path=path, row=line, hint="Give the row an item_id, or remove it.")
        if item_id not in item_ids:
            unknown += 1
        elif item_id in lines:
            hint = "Keep one row per item."
            message = f"item_id {item_id[:80]!r} stands in row {lines[item_id]} already."
            raise DataError(message, path=path, row=line, hint=hint)
        else:
            lines[item_id] = line
            if summary := clean_text(summary):
                texts[item_id] = summary
    return GivenSummaries(texts, unknown)


def _read_csv(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, item_id, summary)."""
    header = read_header(path)
    require_columns(path, header, list(SUMMARIES))
    for line, record in iterate_records(path):
        if record is None:
            hint = "Put double quotes around summaries that hold commas or line breaks."
            raise DataError(f"has not {len(header)} fields like the header.", path=path, row=line, hint=hint)
        yield line, record[ITEM_ID], record["summary"]


def _read_parquet(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (row, item_id, summary)."""
    try:
        require_columns(path, list(pl.read_parquet_schema(path)), list(SUMMARIES))
        table = pl.read_parquet(path, columns=list(SUMMARIES))
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not readable as Parquet: {first}.", path=path, hint="Write the file again.") from None
    for name, kind in table.schema.items():
        if kind != pl.String and not (name == ITEM_ID and kind.is_integer()):
            expected = "text or whole numbers" if name == ITEM_ID else "text"
            hint = "Write the column as text."
            raise DataError(f"column {name!r} is {kind}, expected {expected}.", path=path, hint=hint)
    columns = table.select(pl.col(name).cast(pl.String).fill_null("") for name in SUMMARIES)
    for row, (item_id, summary) in enumerate(columns.iter_rows(), start=1):
        yield row, item_id, summary
