"""How a frame of facts marks rows: a number for each row, and 0/1 flags."""

from __future__ import annotations

import polars as pl

ROW = "row"
"""1-based row of the Parquet file that a fact is about."""


def flag(condition: pl.Expr) -> pl.Expr:
    """Return 1 where ``condition`` holds, 0 where it does not or is unknown; nulls have guards of their own."""
    return condition.fill_null(value=False).cast(pl.Int8)
