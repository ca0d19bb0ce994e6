"""Reading what earlier commands wrote: a file that is missing or damaged is an error that names who writes it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.columns import Schema
from illmrec.errors import DataError, IllmrecError
from pipelines.project.layout import require

Refusal = type[IllmrecError]


def read_table(path: Path, command: str, schema: Schema | None = None) -> pl.DataFrame:
    """Read a Parquet table.

    Args:
        path: the file.
        command: subcommand that writes it, with its options.
        schema: columns that it must have, with their types; None for any. Further columns are left out.

    Raises:
        MissingArtifactError: when it does not exist.
        DataError: when it is no Parquet, or lacks a column.
    """
    require(path, command)
    hint = f"Run `illmrec {command}` again."
    try:
        found = pl.read_parquet_schema(path)
        _require_columns(found, schema or {}, path, hint)
        return pl.read_parquet(path, columns=list(schema) if schema else None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"is not readable as Parquet: {_first_line(error)}.", path=path, hint=hint) from None


def _require_columns(found: dict[str, Any], schema: Schema, path: Path, hint: str) -> None:
    for name, kind in schema.items():
        if name not in found:
            raise DataError(f"lacks the column {name!r}; it has {', '.join(found)}.", path=path, hint=hint)
        if found[name] != kind:
            raise DataError(f"column {name!r} is {found[name]}, expected {kind}.", path=path, hint=hint)


def read_object(path: Path, command: str, keys: Iterable[str] = (), refusal: Refusal = DataError) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        command: subcommand that writes it, with its options.
        keys: keys that it must have.
        refusal: class of the error about a damaged file.

    Raises:
        MissingArtifactError: when it does not exist.
        DataError: or ``refusal``, when it is no JSON object, or lacks a key.
    """
    require(path, command)
    hint = f"Run `illmrec {command}` again."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refusal(f"is not readable as JSON: {_first_line(error)}.", path=path, hint=hint) from None
    if not isinstance(content, dict):
        raise refusal(f"holds a {type(content).__name__}, expected a JSON object.", path=path, hint=hint)
    lacking = [key for key in keys if key not in content]
    if lacking:
        raise refusal(f"lacks {', '.join(lacking)}.", path=path, hint=hint)
    return content


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
