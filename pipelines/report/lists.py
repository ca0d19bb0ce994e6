"""What the recommended lists are like: coverage, evenness, novelty, categories."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.report.figures import MODELS, OURS, Interval, read_interval
from pipelines.report.reading import Facts

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
    models: Mapping[str, Interval]
    has_interval: bool


def read_lists(metrics: Facts) -> tuple[ListRow, ...]:
    """Return the rows for lists of ten, or of the longest length measured; nothing where lists were not measured."""
    found = [re.fullmatch(rf"{OURS}/lists/coverage@(\d+)", key) for key in metrics.values]
    cutoffs = [int(match[1]) for match in found if match]
    if not cutoffs:
        return ()
    k = CUTOFF if CUTOFF in cutoffs else max(cutoffs)
    return tuple(_read_row(metrics, name, k) for name in MEANINGS if f"{OURS}/lists/{name}@{k}" in metrics.values)


def _read_row(metrics: Facts, name: str, k: int) -> ListRow:
    label, meaning = MEANINGS[name]
    models = {}
    for model in MODELS:
        key = f"{model}/lists/{name}@{k}"
        if name in WHOLE:
            value = metrics.number(key)
            models[model] = Interval(value, value, value)
        else:
            models[model] = read_interval(metrics, key)
    return ListRow(f"{label}@{k}", meaning, models, name not in WHOLE)
