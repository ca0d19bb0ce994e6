"""Ranking metrics of one relevant item per user, from its 1-based rank."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.evaluation.rank import Ranks

PerUser = npt.NDArray[np.float64]


def hit_rate(ranks: Ranks, k: int) -> PerUser:
    """Return ``float64 [n]``: 1 where the target is among the first k, else 0."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, k: int) -> PerUser:
    """Return ``float64 [n]``: ``1 / log2(rank + 1)`` where the target is among the first k, else 0."""
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: Ranks) -> PerUser:
    """Return ``float64 [n]``: ``1 / rank``, without a cutoff."""
    return np.asarray(1.0 / ranks, dtype=np.float64)


def compute_metrics(ranks: Ranks, cutoffs: tuple[int, ...]) -> dict[str, PerUser]:
    """Return every metric per user: ``hit@k`` and ``ndcg@k`` for each cutoff, and ``mrr``."""
    metrics = {f"hit@{k}": hit_rate(ranks, k) for k in cutoffs}
    metrics |= {f"ndcg@{k}": ndcg(ranks, k) for k in cutoffs}
    return metrics | {"mrr": reciprocal_rank(ranks)}
