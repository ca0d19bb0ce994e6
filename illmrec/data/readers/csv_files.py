"""Reading CSV files of untrusted quality: interactions as a stream, small tables line by line."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from illmrec.columns import INTERACTIONS, ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.raw import LATEST_TIMESTAMP, rejected_table
from illmrec.errors import DataError

ROW = "\x00row"
"""Name of the column of row numbers; no file has a column of that name."""

_EXTRA = "\x00extra"


def read_header(path: Path) -> list[str]:
    """Return the column names of a CSV file, plain or gzip.

    Raises:
        DataError: when the file is empty, damaged or not UTF-8.
    """
    for _, fields in iterate_csv(path):
        return fields
    raise DataError("is empty.", path=path, hint="Put the publisher's whole file there.")


def require_columns(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """Check a table's columns.

    Raises:
        DataError: when one of ``needed`` is not in ``found``, or ``found`` has a name twice; the message names them.
    """
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise DataError(f"has the column {', '.join(map(repr, twice))} more than once.", path=path)
    missing = [name for name in needed if name not in found]
    if missing:
        raise DataError(
            f"lacks the column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, found)) or 'none'}.",
            path=path,
            hint=f"The file needs a header with {', '.join(needed)}, separated by commas.",
        )


def read_interactions(
    path: Path, columns: Mapping[str, str], seconds: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Read the interactions of a CSV file, plain or gzip, as a stream.

    Args:
        path: the file; its first line names the columns.
        columns: name in the file of user_id, item_id and timestamp.
        seconds: expression that turns the text column ``timestamp`` into Int64 seconds, null where it cannot.

    Returns:
        ``columns.INTERACTIONS`` in file order, ``columns.REJECTED``, and the number of data rows.

    Raises:
        DataError: when a column is missing, or the file is empty, damaged or not UTF-8.
    """
    header = read_header(path)
    require_columns(path, header, list(columns.values()))
    schema = pl.Schema({**dict.fromkeys(header, pl.String()), _EXTRA: pl.String()})
    lines = pl.scan_csv(
        path,
        has_header=False,
        skip_lines=1,
        schema=schema,
        missing_columns="insert",
        truncate_ragged_lines=True,
        row_index_name=ROW,
        row_index_offset=2,
        raise_if_empty=False,
    )
    table = judge_interactions(
        lines.select(ROW, _EXTRA, **{name: pl.col(column) for name, column in columns.items()}), seconds
    )
    try:
        return split_rejected(table, path.name)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise explain_failure(path, error) from None


def judge_interactions(table: pl.LazyFrame, seconds: pl.Expr) -> pl.LazyFrame:
    """Add ``reason`` (null for a good row) to rows of text user_id, item_id and timestamp, and convert the latter."""
    time = pl.col(TIMESTAMP)
    extra = pl.col(_EXTRA).is_not_null() if _EXTRA in table.collect_schema() else pl.lit(value=False)
    return table.with_columns(seconds.alias(TIMESTAMP)).with_columns(
        reason=pl.when(extra)
        .then(pl.lit("too many fields"))
        .when(_is_blank(USER_ID))
        .then(pl.lit("no user"))
        .when(_is_blank(ITEM_ID))
        .then(pl.lit("no item"))
        .when(pl.col(USER_ID).str.contains(r"[\r\n]") | pl.col(ITEM_ID).str.contains(r"[\r\n]"))
        .then(pl.lit("line break in an id"))
        .when(time.is_null())
        .then(pl.lit("timestamp missing or not readable"))
        .when(~time.is_between(0, LATEST_TIMESTAMP))
        .then(pl.lit("timestamp out of range"))
    )


def split_rejected(table: pl.LazyFrame, file: str) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Collect judged rows: the good ones, the rejected ones, and how many there were."""
    good = table.filter(pl.col("reason").is_null()).select(list(INTERACTIONS))
    bad = table.filter(pl.col("reason").is_not_null()).select(
        file=pl.lit(file), row=pl.col(ROW).cast(pl.Int64), reason="reason"
    )
    interactions, rejected = pl.collect_all([good, bad], engine="streaming")
    rejected = rejected_table().vstack(rejected.sort("row"))
    return interactions, rejected, interactions.height + rejected.height


def parse_timestamp(column: str = TIMESTAMP) -> pl.Expr:
    """Return Int64 seconds since 1970 UTC from text: whole seconds, an ISO date, or an ISO date and time.

    A time without an offset is UTC. Fractions of a second are cut off. Unreadable text gives null.
    """
    text = pl.col(column).str.strip_chars()
    iso = text.str.replace("T", " ", literal=True).str.replace("Z", "+00:00", literal=True)
    times = [
        iso.str.to_datetime(form, strict=False, time_unit="us").dt.epoch("s")
        for form in ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%z")
    ]
    date = text.str.to_date("%Y-%m-%d", strict=False).dt.epoch("s")
    return pl.coalesce(text.cast(pl.Int64, strict=False), date, *times).cast(pl.Int64)


def iterate_records(path: Path, header: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, str] | None]]:
    """Yield (line, record) of a small CSV file; the record is None where the number of fields is wrong.

    Args:
        path: CSV file, plain or gzip, UTF-8.
        header: column names; None when the first line holds them.
    """
    for line, fields in iterate_csv(path):
        if header is None:
            header = fields
        elif fields:
            yield line, dict(zip(header, fields, strict=True)) if len(fields) == len(header) else None


def iterate_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based line on which it ends, fields) of each record of a CSV file, plain or gzip, UTF-8.

    Raises:
        DataError: when the file is damaged, not UTF-8, or a quoted field never ends; names the last good line.
    """
    line = 0
    try:
        with _open_text(path) as file:
            reader = csv.reader(file)
            for fields in reader:
                line = reader.line_num
                yield line, fields
    except UnicodeDecodeError:
        raise explain_failure(path, None) from None
    except (OSError, EOFError, csv.Error) as error:
        hint = "Fetch the file again." if path.suffix == ".gz" else "Look for a quote that is not closed."
        raise DataError(f"cannot be read past line {line}: {error}.", path=path, row=line, hint=hint) from None


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == "")


def explain_failure(path: Path, error: Exception | None) -> DataError:
    """Return an error that names the line behind a failure to read a CSV file, which the fast reader does not."""
    line = 0
    odd_quotes = None
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for content in file:
                line += 1
                content.decode("utf-8")
                if odd_quotes is None and content.count(b'"') % 2:
                    odd_quotes = line
    except UnicodeDecodeError as found:
        message = f"is not UTF-8: byte {found.object[found.start]:#04x} at column {found.start + 1}."
        return DataError(message, path=path, row=line, hint="Convert it: iconv -f latin1 -t utf-8 FILE > NEW_FILE")
    except (OSError, EOFError) as found:
        message = f"cannot be read past line {line}: {found}."
        return DataError(message, path=path, row=line, hint="The file is damaged or incomplete; fetch it again.")
    first = str(error).strip().splitlines()[0] if error else "unreadable"
    hint = "Look for a quote that is not closed; the first odd number of quotes is in that row." if odd_quotes else ""
    return DataError(f"is not readable as CSV: {first}.", path=path, row=odd_quotes, hint=hint)
