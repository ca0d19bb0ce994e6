"""What the recommended lists are like: coverage, evenness, novelty, categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from illmrec.evaluation.metrics import Metric
from illmrec.evaluation.summary import Estimate
from illmrec.evaluation.table import LISTS, MetricsTable
from pipelines.report.figures import MODELS, OURS

CUTOFF = 10
MEANINGS = {
    "coverage": ("Coverage", "share of the catalog that stands in anyone's list"),
    "gini": ("Gini", "0: all items are shown equally often; 1: one item takes all places"),
    "novelty": ("Novelty", "bits; how little known the listed items are in training"),
    "miscalibration": ("Miscalibration", "bits; 0: the list has the categories of the history, in the same shares"),
}
WHOLE = ("coverage", "gini")
"""Metrics of all lists together: no interval over users."""


@dataclass(frozen=True)
class ListRow:
    """One metric of all models' lists.

    Args:
        label: its name with the cutoff.
        meaning: what it says.
        models: value by model; ends of the interval are the value itself where there is none.
        has_interval: whether there is one.
    """

    label: str
    meaning: str
    models: Mapping[str, Estimate]
    has_interval: bool


def read_lists(metrics: MetricsTable) -> tuple[ListRow, ...]:
    """Return the rows for lists of ten, or of the longest length measured; nothing where lists were not measured."""
    measured = {row.name for row in metrics.select(model=OURS, protocol=LISTS)}
    cutoffs = [metric.cutoff for metric in measured if metric.name == "coverage" and metric.cutoff is not None]
    if not cutoffs:
        return ()
    k = CUTOFF if CUTOFF in cutoffs else max(cutoffs)
    return tuple(_read_row(metrics, Metric(name, k)) for name in MEANINGS if Metric(name, k) in measured)


def _read_row(metrics: MetricsTable, metric: Metric) -> ListRow:
    label, meaning = MEANINGS[metric.name]
    has_interval = metric.name not in WHOLE
    models = {}
    for model in MODELS:
        if has_interval:
            models[model] = metrics.interval(metric, model=model, protocol=LISTS)
        else:
            value = metrics.value(metric, model=model, protocol=LISTS)
            models[model] = Estimate(value, value, value)
    return ListRow(f"{label}@{metric.cutoff}", meaning, models, has_interval)
