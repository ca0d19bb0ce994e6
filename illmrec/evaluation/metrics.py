"""Ranking metrics of one relevant item, from its 1-based rank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from illmrec.evaluation.rank import Ranks

PerUser = npt.NDArray[np.float64]


class Metric(NamedTuple):
    """A metric and its cutoff; written ``ndcg@10``, or ``mrr`` where there is none."""

    name: str
    cutoff: int | None = None

    def __str__(self) -> str:
        """Return how parameters, columns and people write it."""
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Return the metric that a parameter names, such as ``ndcg@10``."""
        name, at, cutoff = text.partition("@")
        return cls(name, int(cutoff) if at else None)


HIT_10, NDCG_10, MRR = Metric("hit", 10), Metric("ndcg", 10), Metric("mrr")


def hit_rate(ranks: Ranks, k: int) -> PerUser:
    """Return ``float64 [n]``: 1 where the target is among the first k, else 0."""
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, k: int) -> PerUser:
    """Return ``float64 [n]``: ``1 / log2(rank + 1)`` where the target is among the first k, else 0."""
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: Ranks, k: int | None = None) -> PerUser:
    """Return ``float64 [n]``: ``1 / rank``; with a cutoff, 0 where the target is not among the first k."""
    reciprocal = np.asarray(1.0 / ranks, dtype=np.float64)
    return reciprocal if k is None else np.where(ranks <= k, reciprocal, 0.0)


def compute_metrics(ranks: Ranks, cutoffs: tuple[int, ...]) -> dict[Metric, PerUser]:
    """Return every metric per target: hit rate, NDCG and reciprocal rank at each cutoff, and the reciprocal rank.

    Args:
        ranks: ``float64 [n]``: rank of each target, from 1, as :func:`illmrec.rank_users` returns it.
        cutoffs: lengths k of the lists.

    Returns:
        ``float64 [n]`` by metric; the metric of a model is its mean.

    Example:
        >>> metrics = illmrec.compute_metrics(np.array([1.0, 3.0]), (10,))
        >>> {str(metric): round(float(values.mean()), 2) for metric, values in metrics.items()}
        {'hit@10': 1.0, 'ndcg@10': 0.75, 'mrr@10': 0.67, 'mrr': 0.67}
    """
    metrics = {Metric("hit", k): hit_rate(ranks, k) for k in cutoffs}
    metrics |= {Metric("ndcg", k): ndcg(ranks, k) for k in cutoffs}
    metrics |= {Metric("mrr", k): reciprocal_rank(ranks, k) for k in cutoffs}
    return metrics | {MRR: reciprocal_rank(ranks)}


def average_by_user(values: PerUser, owners: npt.NDArray[np.int64], users: int) -> PerUser:
    """Return ``float64 [users]``: the mean over each user's targets.

    Args:
        values: ``float64 [c]``: one per target.
        owners: ``int64 [c]``: the user each target belongs to; every user has at least one.
        users: number of users.
    """
    return np.asarray(np.bincount(owners, values, users) / np.bincount(owners, minlength=users), dtype=np.float64)
