"""Paired tests between all pairs of models on the full catalog."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.report.figures import MODELS, Interval, read_interval
from pipelines.report.reading import Facts


@dataclass(frozen=True)
class PairedTest:
    """One difference.

    Args:
        difference: the first model minus the second, paired by user.
        p: two-sided p-value by flipping signs.
        holm: the same, corrected for all differences of the table.
    """

    difference: Interval
    p: float
    holm: float


@dataclass(frozen=True)
class PairedTests:
    """All differences.

    Args:
        pairs: what the columns compare.
        rows: by metric, a difference for each pair.
    """

    pairs: tuple[str, ...]
    rows: Mapping[str, tuple[PairedTest, ...]]


def read_tests(metrics: Facts, labels: Mapping[str, str]) -> PairedTests | None:
    """Return the tests of some metrics; None where models were not tested.

    Args:
        metrics: the content of metrics.json.
        labels: metrics by key, with what they are called.
    """
    pairs = list(itertools.combinations(MODELS, 2))
    first, last = f"{'-'.join(pairs[0])}/full", f"{'-'.join(pairs[-1])}/full"
    if not all(f"{pair}/{key}.holm" in metrics.values for pair in (first, last) for key in labels):
        return None
    rows = {
        label: tuple(_read_test(metrics, f"{one}-{other}/full/{key}") for one, other in pairs)
        for key, label in labels.items()
    }
    return PairedTests(tuple(f"{MODELS[one]} minus {MODELS[other]}" for one, other in pairs), rows)


def _read_test(metrics: Facts, key: str) -> PairedTest:
    return PairedTest(read_interval(metrics, key), metrics.number(f"{key}.p"), metrics.number(f"{key}.holm"))
