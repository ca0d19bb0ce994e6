"""Artifacts as the report reads them: JSON objects whose keys are checked on access, and sections not made yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.errors import DataError
from pipelines.project.artifacts import read_object


@dataclass(frozen=True)
class Missing:
    """A section of the report that cannot be shown.

    Args:
        title: the section's title.
        command: the command that makes its input.
    """

    title: str
    command: str


@dataclass(frozen=True)
class Facts:
    """A JSON object of one artifact.

    Args:
        path: where it was read; named in errors.
        values: the object.
        remedy: the command that writes it.
    """

    path: Path
    values: Mapping[str, Any]
    remedy: str

    def count(self, key: str) -> int:
        """Return a whole number; raises DataError when it is absent or something else."""
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.refuse(f"{key} is {value!r}, expected a whole number")
        return value

    def number(self, key: str) -> float:
        """Return a finite number; raises DataError when it is absent or something else."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.refuse(f"{key} is {value!r}, expected a number")
        return float(value)

    def inner(self, key: str) -> Facts:
        """Return the object under ``key``; raises DataError when there is none."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.refuse(f"{key} is {type(value).__name__}, expected an object")
        return Facts(self.path, value, self.remedy)

    def refuse(self, message: str) -> DataError:
        """Return the error that says what is wrong with the file and which command writes it anew."""
        return DataError(f"{message}.", path=self.path, hint=f"Run `{self.remedy}` again.")


def read_facts(path: Path, remedy: str) -> Facts:
    """Read a JSON object.

    Raises:
        MissingArtifactError: when the file is missing.
        DataError: when it is not JSON or holds something other than an object.
    """
    return Facts(path, read_object(path, remedy.removeprefix("illmrec ")), remedy)


def scan_table(path: Path, columns: tuple[str, ...], remedy: str) -> pl.LazyFrame:
    """Return a lazy Parquet table that surely has ``columns``.

    Raises:
        DataError: when the file is missing, damaged or lacks a column.
    """
    hint = f"Run `{remedy}` again."
    try:
        table = pl.scan_parquet(path, hive_partitioning=False)
        found = set(table.collect_schema().names())
    except FileNotFoundError:
        raise DataError("the table is missing.", path=path, hint=hint) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"is not readable as Parquet: {error}", path=path, hint=hint) from None
    lacking = [name for name in columns if name not in found]
    if lacking:
        raise DataError(f"lacks the columns {', '.join(lacking)}.", path=path, hint=hint)
    return table.select(columns)
