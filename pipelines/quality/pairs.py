"""Do pictures and texts of items belong together: own pairs beside pairs put together by chance.

Pictures and texts come from the two towers of one encoder. What their cosine is worth differs from encoder to encoder;
what can be judged is whether an item's own text is more similar to its picture than the text of another item is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID
from pipelines.quality.flags import ROW, flag

Vectors = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]]
"""Pair numbers ``int64 [n]`` to vectors ``float32 [n, d]``."""

BLOCK = 4096
SMALLEST_LENGTH = 1e-12


@dataclass(frozen=True)
class Pairs:
    """Similarities of the items that have a picture and a text.

    Attributes:
        own: float64 [n]: cosine of each item's picture and its own text.
        shuffled: float64 [shuffles * n]: cosine of each picture and texts of other items.
    """

    own: npt.NDArray[np.float64]
    shuffled: npt.NDArray[np.float64]

    @property
    def auc(self) -> float:
        """Chance that an own pair is more similar than a shuffled one, ties counting half; 0.5 for no difference."""
        ordered = np.sort(self.shuffled)
        below = np.searchsorted(ordered, self.own, side="left") + np.searchsorted(ordered, self.own, side="right")
        return float(below.mean() / (2 * len(ordered)))

    def rank_own(self) -> npt.NDArray[np.float64]:
        """Return ``float64 [n]``: the percentage of shuffled pairs that each own pair is more similar than."""
        return np.asarray(100.0 * np.searchsorted(np.sort(self.shuffled), self.own) / len(self.shuffled))


def compare_pairs(pictures: Vectors, texts: Vectors, count: int, *, shuffles: int, seed: int) -> Pairs:
    """Compare ``count`` pictures with their own texts and with those of others.

    Args:
        pictures: pair number -> picture vector.
        texts: pair number -> text vector.
        count: pairs, at least 2.
        shuffles: texts of others per picture; no text ever meets its own picture there.
        seed: draws the others.
    """
    rng = np.random.default_rng(seed)
    partners = [_draw_partners(count, rng) for _ in range(shuffles)]
    own, shuffled = np.empty(count), np.empty((shuffles, count))
    for rows in _list_blocks(count):
        shown = _scale(pictures(rows))
        own[rows] = np.sum(shown * _scale(texts(rows)), axis=1)
        for number, partner in enumerate(partners):
            shuffled[number, rows] = np.sum(shown * _scale(texts(partner[rows])), axis=1)
    return Pairs(own, shuffled.ravel())


def describe_pairs(pairs: Pairs, items: npt.NDArray[np.int64], item_ids: list[str], percentile: float) -> pl.DataFrame:
    """Return a row per pair, the least similar first: item, similarity, rank among shuffled pairs, outlier or not.

    Args:
        pairs: similarities.
        items: ``int64 [n]``: item index of each pair.
        item_ids: external ids by item index.
        percentile: an outlier is less similar than this percentile of shuffled pairs.
    """
    frame = pl.DataFrame(
        {
            ROW: (items + 1).astype(np.uint32),
            ITEM_ID: [item_ids[item] for item in items.tolist()],
            "similarity": pairs.own.round(6),
            "percentile": pairs.rank_own().round(3),
        }
    )
    frame = frame.with_columns(
        flag(pl.lit(pl.Series(pairs.own < np.percentile(pairs.shuffled, percentile)))).alias("outlier")
    )
    return frame.sort("similarity", ITEM_ID)


def summarize_pairs(pairs: Pairs) -> dict[str, Any]:
    """Return the figures of all pairs together."""
    return {
        "pairs": len(pairs.own),
        "mean_own": round(float(pairs.own.mean()), 6),
        "mean_shuffled": round(float(pairs.shuffled.mean()), 6),
        "auc": round(pairs.auc, 6),
    }


def _draw_partners(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return ``int64 [count]``: another pair for each pair, every one once: each takes the next along a random ring."""
    ring = rng.permutation(count)
    partners = np.empty(count, dtype=np.int64)
    partners[ring] = np.roll(ring, 1)
    return partners


def _list_blocks(count: int) -> Iterator[npt.NDArray[np.int64]]:
    for start in range(0, count, BLOCK):
        yield np.arange(start, min(start + BLOCK, count), dtype=np.int64)


def _scale(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the rows as ``float64`` of length 1; a row of zeros stays as it is."""
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), SMALLEST_LENGTH))
