"""Columns of lists from flat values, without touching the lists one by one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa


def build_lists(values: pl.Series, offsets: npt.NDArray[np.int64]) -> pl.Series:
    """Return ``List [n]``: row r holds ``values[offsets[r]:offsets[r + 1]]``.

    Args:
        values: all rows one after the other, without nulls.
        offsets: ``int64 [n + 1]``, from 0 to the number of values.
    """
    flat = values.to_arrow()
    # From buffers: the constructors that take Python or NumPy sequences import pandas, which takes a second.
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, dtype=np.int64))]
    rows = pa.Array.from_buffers(pa.large_list(flat.type), len(offsets) - 1, buffers, children=[flat])
    return pl.Series(values.name, rows, dtype=pl.List(values.dtype))
