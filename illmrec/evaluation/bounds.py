"""Is one model shown not to be worse than another? The mean difference between one-sided ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from illmrec.evaluation.intervals import bootstrap_means
from illmrec.evaluation.metrics import PerUser


@dataclass(frozen=True)
class OneSided:
    """How the ends are found.

    Args:
        confidence: of each end by itself, 0 to 1.
        samples: resamples of users.
        seed: of the draws.
    """

    confidence: float
    samples: int
    seed: int


def bound_difference(
    first: PerUser, second: PerUser, how: OneSided, *, paired: bool, share: float = 1.0, shift: float = 0.0
) -> tuple[float, float, float]:
    """Return low, value and high of the mean of ``first - share * second + shift``.

    Args:
        first: ``float64 [n]``: one model's value per user.
        second: ``float64 [m]``: the other's; with ``paired`` of the same users in the same order.
        how: confidence, resamples and seed.
        paired: resample users, each with both values; otherwise both groups by themselves.
        share: what part of the second counts; below 1 it is lowered by a share of itself.
        shift: by how much the second is lowered besides.
    """
    if paired:
        columns = (first - share * second)[:, None]
        drawn = bootstrap_means(columns, how.samples, how.seed)[:, 0]
    else:
        drawn_first = bootstrap_means(first[:, None], how.samples, how.seed)[:, 0]
        drawn_second = bootstrap_means(second[:, None], how.samples, how.seed + 1)[:, 0]
        drawn = drawn_first - share * drawn_second
    low, high = np.quantile(drawn + shift, [1.0 - how.confidence, how.confidence])
    return float(low), float(first.mean() - share * second.mean() + shift), float(high)
