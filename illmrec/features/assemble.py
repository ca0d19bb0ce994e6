"""From cached vectors to the rows of a feature matrix, a few thousand items at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illmrec.features.cache import FeatureCache
from illmrec.features.matrix import MatrixWriter, normalise

BLOCK = 4096
"""Rows held in memory at a time."""


@dataclass(frozen=True)
class Assembled:
    """What is known once all cached vectors have been written."""

    present: npt.NDArray[np.bool_]
    """``bool [n_items]``: items with at least one vector of their own."""
    mean: npt.NDArray[np.float32]
    """``float32 [width]``: mean over those items, before normalisation."""


def write_means(
    writer: MatrixWriter, cache: FeatureCache, contents: Sequence[str], items: npt.NDArray[np.integer], n_items: int
) -> Assembled:
    """Write one row per item: the mean of its contents' vectors, scaled to a root mean square of 1.

    Args:
        writer: the matrix; rows of items without content are left at zero.
        cache: holds a vector of every content.
        contents: content hashes.
        items: ``int [len(contents)]``, ascending: the item of each content; several may belong to one item.
        n_items: rows of the matrix.
    """
    present = np.zeros(n_items, dtype=np.bool_)
    total = np.zeros(cache.width)
    for first in range(0, n_items, BLOCK):
        last = min(first + BLOCK, n_items)
        start, stop = np.searchsorted(items, [first, last])
        if start == stop:
            continue
        own, starts, counts = np.unique(items[start:stop], return_index=True, return_counts=True)
        vectors = cache.load(contents[start:stop])
        sums = vectors if len(own) == len(vectors) else np.add.reduceat(vectors, starts, axis=0)
        means = sums / counts[:, None].astype(np.float32)
        writer.write(own, normalise(means, "rms"))
        present[own] = True
        total += means.sum(axis=0, dtype=np.float64)
    return Assembled(present, (total / max(1, present.sum())).astype(np.float32))


def write_rows(
    writer: MatrixWriter, cache: FeatureCache, contents: Sequence[str], items: npt.NDArray[np.integer]
) -> None:
    """Write one content's vector, scaled to a root mean square of 1, into the row of each of ``items``."""
    for start in range(0, len(items), BLOCK):
        stop = start + BLOCK
        writer.write(items[start:stop], normalise(cache.load(contents[start:stop]), "rms"))


def write_same(writer: MatrixWriter, vector: npt.NDArray[np.float32], items: npt.NDArray[np.integer]) -> None:
    """Write one ``float32 [width]``, scaled to a root mean square of 1, into the rows of all ``items``."""
    if len(items):
        writer.write(items, np.broadcast_to(normalise(vector[None], "rms"), (len(items), len(vector))))
