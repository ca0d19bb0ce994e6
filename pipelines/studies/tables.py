"""Rows of results as CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows, which may lack columns, as CSV; parameters and other objects become JSON in their cell."""
    flat = [
        {key: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value for key, value in row.items()}
        for row in rows
    ]
    with atomic.write_file(path) as file:
        pl.from_dicts(flat, infer_schema_length=None).write_csv(file) if flat else file.write(b"")
