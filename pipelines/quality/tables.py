"""The prepared tables as the gate reads them: raw enough to be judged, complete enough to be computed with."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from illmrec import columns
from pipelines.project.artifacts import read_table

SCHEMAS: dict[str, columns.Schema] = {
    "interactions": columns.INTERACTIONS,
    "items": columns.ITEMS,
    "images": columns.IMAGES,
    "users": columns.USERS,
    "raw_texts": columns.RAW_TEXTS,
}
"""Tables of ``prepare`` that the gate judges."""

OPTIONAL = ("raw_texts",)
"""Tables that folders prepared by an earlier version lack; the gate then says what it could not check."""


def read_tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Read the tables named in :data:`SCHEMAS` from ``folder``.

    Raises:
        MissingArtifactError: when a table that is not in :data:`OPTIONAL` does not exist.
        DataError: when a file is not readable as Parquet.
    """
    paths = {name: folder / f"{name}.parquet" for name in SCHEMAS}
    wanted = {name: path for name, path in paths.items() if name not in OPTIONAL or path.is_file()}
    return {name: read_table(path, "prepare") for name, path in wanted.items()}


def has_column(table: pl.DataFrame, name: str, dtype: object) -> bool:
    """Tell whether ``table`` holds column ``name`` with exactly the type ``dtype``."""
    return table.schema.get(name) == dtype


def complete_columns(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the tables with every column of their schema; one that is missing or of a wrong type is all null.

    The loss is not silent: the guards of each suite report such a column as missing.
    """
    return {name: _complete(table, SCHEMAS[name]) for name, table in tables.items()}


def _complete(table: pl.DataFrame, schema: columns.Schema) -> pl.DataFrame:
    return table.select(
        pl.col(name) if has_column(table, name, dtype) else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
