"""Paired tests between all pairs of models on the full catalog."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from illmrec.evaluation.metrics import Metric
from illmrec.evaluation.summary import Difference
from illmrec.evaluation.table import MetricsTable
from pipelines.report.figures import MODELS


@dataclass(frozen=True)
class PairedTests:
    """All differences.

    Args:
        pairs: what the columns compare.
        rows: by metric, for each pair the first model minus the second.
    """

    pairs: tuple[str, ...]
    rows: Mapping[str, tuple[Difference, ...]]


def read_tests(metrics: MetricsTable, labels: Mapping[Metric, str]) -> PairedTests | None:
    """Return the tests of some metrics; None where models were not tested.

    Args:
        metrics: of the evaluation.
        labels: metrics, with what they are called.
    """
    pairs = list(itertools.combinations(MODELS, 2))
    first = [
        metrics.find(metric, model=one, against=other) for metric in labels for one, other in (pairs[0], pairs[-1])
    ]
    if any(row is None or row.p_holm is None for row in first):
        return None
    rows = {
        label: tuple(metrics.compare(metric, model=one, against=other) for one, other in pairs)
        for metric, label in labels.items()
    }
    return PairedTests(tuple(f"{MODELS[one]} minus {MODELS[other]}" for one, other in pairs), rows)
