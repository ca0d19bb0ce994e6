"""Files of a part beside Parquet: CSV for spreadsheets, JSON lines for everything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from illmrec import atomic

DANGEROUS = r"^([=+\-@\t\r])"
"""Beginnings that make a spreadsheet run a text as a formula."""


def write_csv(path: Path, table: pl.DataFrame) -> None:
    """Write CSV with a header line; texts that a spreadsheet would run as a formula get a ``'`` before them."""
    safe = table.with_columns(pl.col(pl.String).str.replace(DANGEROUS, "'${1}"))
    with atomic.write_file(path) as file:
        safe.write_csv(file)


def write_json_lines(path: Path, table: pl.DataFrame) -> None:
    """Write one JSON object a line; texts are as they are."""
    with atomic.write_file(path) as file:
        table.write_ndjson(file)


WRITERS: dict[str, Callable[[Path, pl.DataFrame], None]] = {
    "parquet": atomic.write_parquet,
    "csv": write_csv,
    "jsonl": write_json_lines,
}
"""Format -> writer; equal tables give equal bytes. The name is the file's ending too."""
