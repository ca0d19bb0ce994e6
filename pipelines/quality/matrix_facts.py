"""What the feature gate knows about each row of a feature matrix, and about the matrix as a whole."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.features.matrix import FeatureMatrix
from pipelines.quality.flags import ROW, flag

BLOCK = 4096


def describe_rows(matrix: FeatureMatrix, item_ids: list[str]) -> pl.DataFrame:
    """Return each row with flags: filled by a policy, not finite, the vector most items have, one that others have.

    Rows that a policy filled may well be equal; only those that are the item's own count as repeats.
    """
    digests, finite = _digest_rows(matrix)
    frame = pl.DataFrame({"digest": digests, "own": matrix.present}).with_row_index(ROW, 1)
    own = frame.filter("own")["digest"].value_counts().filter(pl.col("count") > 1)
    shared = own["digest"].implode()
    # Of several equally common vectors the first by digest, so that one only is meant.
    common = own.sort("count", "digest", descending=[True, False])["digest"].first() if own.height else ""
    return frame.select(
        ROW,
        pl.Series(ITEM_ID, item_ids),
        flag(~pl.col("own")).alias("filled"),
        flag(pl.lit(pl.Series(~finite))).alias("not_finite"),
        flag(pl.col("own") & (pl.col("digest") == common)).alias("repeated"),
        flag(pl.col("own") & pl.col("digest").is_in(shared)).alias("duplicated"),
    )


def describe_matrix(matrix: FeatureMatrix) -> pl.DataFrame | None:
    """Return one row with ``spread``: the mean of 1 - cosine over all pairs of items' own rows.

    None with fewer than two such rows.
    """
    rows = np.flatnonzero(matrix.present)
    if len(rows) < 2:
        return None
    total = np.zeros(matrix.header.width)
    for start in range(0, len(rows), BLOCK):
        block = np.nan_to_num(matrix.rows(rows[start : start + BLOCK]).astype(np.float64), posinf=0.0, neginf=0.0)
        total += (block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-12)).sum(axis=0)
    # The squared length of the sum of n unit rows holds every pair twice, and each row with itself once.
    cosine = (float(total @ total) - len(rows)) / (len(rows) * (len(rows) - 1))
    return pl.DataFrame({ROW: [1], "spread": [1.0 - cosine]})


def _digest_rows(matrix: FeatureMatrix) -> tuple[list[str], npt.NDArray[np.bool_]]:
    """Return a digest of each row's bytes, and ``bool [n_items]``: whether all of its numbers are finite."""
    digests: list[str] = []
    finite = np.empty(len(matrix.present), dtype=np.bool_)
    for start in range(0, len(finite), BLOCK):
        block = np.ascontiguousarray(matrix.values[start : start + BLOCK])
        finite[start : start + BLOCK] = np.isfinite(block).all(axis=1)
        digests += [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in block]
    return digests, finite
