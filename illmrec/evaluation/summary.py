"""Means over users with intervals, and differences between models with tests."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from illmrec.evaluation.intervals import bootstrap_means, interval
from illmrec.evaluation.metrics import PerUser
from illmrec.evaluation.significance import correct_holm, flip_signs

Model = TypeVar("Model", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)
Values = Mapping[Model, Mapping[Name, PerUser]]
"""Model -> metric -> ``float64 [n]``: one value per user, the same users in the same order everywhere."""


@dataclass(frozen=True)
class Resampling:
    """How much is drawn.

    Args:
        samples: resamples of users behind an interval.
        confidence: coverage of the intervals, 0 to 1.
        permutations: sign flips behind a p-value.
        seed: of all draws.
    """

    samples: int
    confidence: float
    permutations: int
    seed: int


@dataclass(frozen=True)
class Estimate:
    """A mean over users and the ends of its bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """Return -1 or 1 where the whole interval is below or above zero, else 0."""
        return (self.low > 0) - (self.high < 0)

    def as_columns(self, name: str) -> dict[str, float]:
        """Return its cells in a table with a row per model: ``name``, ``name.low`` and ``name.high``."""
        return {name: self.value, f"{name}.low": self.low, f"{name}.high": self.high}


@dataclass(frozen=True)
class Difference:
    """A paired difference of two means.

    Args:
        estimate: the difference with its interval.
        p: two-sided p-value by flipping signs.
        holm: the same, corrected for all differences of the table.
    """

    estimate: Estimate
    p: float
    holm: float


def estimate_means(values: Values[Model, Name], how: Resampling) -> dict[tuple[Model, Name], Estimate]:
    """Return the estimate of each (model, metric)."""
    keys = [(model, metric) for model, metrics in values.items() for metric in metrics]
    return dict(zip(keys, _estimate([values[model][metric] for model, metric in keys], how), strict=True))


def compare_models(
    values: Values[Model, Name], pairs: Iterable[tuple[Model, Model]], how: Resampling
) -> dict[tuple[Model, Model, Name], Difference]:
    """Return, for each pair of models and metric, the first minus the second, all of them corrected together."""
    keys = [(first, second, metric) for first, second in pairs for metric in values[first]]
    if not keys:
        return {}
    differences = [values[first][metric] - values[second][metric] for first, second, metric in keys]
    p_values = flip_signs(np.stack(differences, axis=1), how.permutations, how.seed)
    rows = zip(keys, _estimate(differences, how), p_values, correct_holm(p_values), strict=True)
    return {key: Difference(estimate, float(p), float(holm)) for key, estimate, p, holm in rows}


def estimate_known(columns: Mapping[Name, PerUser], how: Resampling) -> dict[Name, Estimate]:
    """Return the mean over those users who have a value, with its interval; what nobody has is left out."""
    known = {name: ~np.isnan(values) for name, values in columns.items()}
    names = [name for name, there in known.items() if there.any()]
    above = [np.where(known[name], columns[name], 0.0) for name in names]
    below = [known[name].astype(np.float64) for name in names]
    return dict(zip(names, estimate_ratios(above, below, how), strict=True)) if names else {}


def estimate_ratios(above: list[PerUser], below: list[PerUser], how: Resampling) -> list[Estimate]:
    """Return ``sum(above) / sum(below)`` over users for each pair of columns, with intervals over users.

    The mean over a group of targets is such a ratio: of what users contribute to the sum, by how many targets they
    contribute. Resamples in which nobody contributes are left out.
    """
    means = bootstrap_means(np.stack([*above, *below], axis=1), how.samples, how.seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = means[:, : len(above)] / means[:, len(above) :]
    found = []
    for column, (over, under) in enumerate(zip(above, below, strict=True)):
        drawn = ratios[:, column][np.isfinite(ratios[:, column])]
        found.append(Estimate(float(over.sum() / under.sum()), *interval(drawn, how.confidence)))
    return found


def _estimate(columns: list[PerUser], how: Resampling) -> list[Estimate]:
    table = np.stack(columns, axis=1)
    means = bootstrap_means(table, how.samples, how.seed)
    return [
        Estimate(float(table[:, column].mean()), *interval(means[:, column], how.confidence))
        for column in range(table.shape[1])
    ]
