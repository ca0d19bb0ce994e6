"""Reading CSV files of untrusted quality: interactions block by block, small tables line by line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.files.ahead import read_ahead
from illmrec.data.files.blocks import Block, iterate_blocks, open_bytes
from illmrec.data.files.coded import FEW_ROWS, MAX_REJECTED, CodedInteractions, InteractionCoder
from illmrec.errors import DataError
from illmrec.progress import track

SHORT_LINE = 12
"""Bytes of a line on average, below which a block is looked at for empty lines."""

MAX_COLUMNS = 1000
"""A file with more columns is not a table of this kind."""

SHOWN_COLUMNS = 40
"""Columns named in a message."""

EXTRA = "\x00extra"
"""Name of the column of surplus fields; no file has a column of that name."""


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
    if len(found) > MAX_COLUMNS:
        hint = "Look at its first line: it should name the columns."
        raise DataError(f"has {len(found):,} columns, at most {MAX_COLUMNS:,} expected.", path=path, hint=hint)
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise DataError(f"has the column {_name_columns(sorted(twice))} more than once.", path=path)
    missing = [name for name in needed if name not in found]
    if missing:
        raise DataError(
            f"lacks the column {_name_columns(missing)}; it has {_name_columns(found) or 'none'}.",
            path=path,
            hint=f"The file needs a header with {', '.join(needed)}, separated by commas.",
        )


def _name_columns(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in names[:SHOWN_COLUMNS])
    return shown + (f" and {len(names) - SHOWN_COLUMNS:,} more" if len(names) > SHOWN_COLUMNS else "")


def read_interactions(
    path: Path, columns: Mapping[str, str], seconds: pl.Expr
) -> tuple[CodedInteractions, pl.DataFrame, int]:
    """Read the interactions of a CSV file, plain or gzip, block by block.

    Args:
        path: the file; its first line names the columns.
        columns: name in the file of user_id, item_id and timestamp.
        seconds: expression that turns the text column ``timestamp`` into Int64 seconds, null where it cannot.

    Returns:
        The interactions in file order, ``columns.REJECTED``, and the number of data rows.

    Raises:
        DataError: when a column is missing, or the file is empty, damaged or not UTF-8.
    """
    gathering = InteractionCoder(path.name)
    rows = 0
    for table in _gather_tables(iterate_tables(path, columns)):
        times = table.select(seconds.alias(TIMESTAMP).cast(pl.Int64)).to_series()
        numbers = np.arange(rows + 2, rows + 2 + table.height)
        gathering.add(table[USER_ID], table[ITEM_ID], times, rows=numbers, ragged=table[EXTRA])
        rows += table.height
    interactions, rejected = gathering.finish()
    return interactions, rejected, rows


def _gather_tables(tables: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the same rows in tables that are worth looking up ids for."""
    waiting: list[pl.DataFrame] = []
    for table in tables:
        waiting.append(table)
        if sum(part.height for part in waiting) >= FEW_ROWS:
            yield pl.concat(waiting)
            waiting.clear()
    if waiting:
        yield pl.concat(waiting)


def iterate_tables(path: Path, columns: Mapping[str, str]) -> Iterator[pl.DataFrame]:
    """Yield the rows of a large CSV file, plain or gzip, as tables of text.

    Args:
        path: the file; its first line names the columns.
        columns: wanted columns: their names in the tables, and in the file.

    Yields:
        Tables of the wanted columns, and whether a row has too many fields; null where a field is empty or missing.

    Raises:
        DataError: when a column is missing, or the file is empty, damaged or not UTF-8.
    """
    header = read_header(path)
    require_columns(path, header, list(columns.values()))
    schema = pl.Schema({**dict.fromkeys(header, pl.String()), EXTRA: pl.String()})
    wanted = {name: pl.col(column) for name, column in columns.items()}
    for block in track(read_ahead(iterate_blocks(path, quoted=True)), path.name, unit="block"):
        _refuse_empty_lines(path, block)
        lines = pl.scan_csv(
            block.content,
            has_header=False,
            skip_lines=1 if block.line == 1 else 0,
            schema=schema,
            quote_char='"' if b'"' in block.content else None,  # without any, the parser need not look for them
            missing_columns="insert",
            truncate_ragged_lines=True,
            raise_if_empty=False,
        )
        try:
            yield lines.select(**wanted, **{EXTRA: pl.col(EXTRA).is_not_null()}).collect(engine="streaming")
        except (pl.exceptions.PolarsError, OSError) as error:
            raise explain_failure(path, error) from None


def _refuse_empty_lines(path: Path, block: Block) -> None:
    """Refuse a file of little but empty lines, of which the parser takes millions badly."""
    if len(block.content) > SHORT_LINE * block.lines:
        return
    empty = block.content.count(b"\n\n") + block.content.count(b"\n\r\n")
    if empty > MAX_REJECTED // 2:
        raise DataError(f"has {empty:,} empty lines and more.", path=path, row=block.line, hint="Fetch the file again.")


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
        DataError: when the file is damaged, not UTF-8, has an endless line, or a quoted field never ends; names the
            last good line.
    """
    line = 0
    try:
        reader = csv.reader(_iterate_text_lines(path))
        for fields in reader:
            line = reader.line_num
            yield line, fields
    except csv.Error as error:
        hint = "Look for a quote that is not closed."
        raise DataError(f"cannot be read past line {line}: {error}.", path=path, row=line, hint=hint) from None


def _iterate_text_lines(path: Path) -> Iterator[str]:
    """Yield each line of a CSV file with its end, without a byte order mark."""
    for block in iterate_blocks(path, quoted=True):
        try:
            text = block.content.decode("utf-8-sig" if block.line == 1 else "utf-8")
        except UnicodeDecodeError:
            raise explain_failure(path, None) from None
        yield from io.StringIO(text, newline="")


def explain_failure(path: Path, error: Exception | None) -> DataError:
    """Return an error that names the line behind a failure to read a CSV file, which the fast reader does not."""
    line = 0
    odd_quotes = None
    try:
        with open_bytes(path) as file:
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
