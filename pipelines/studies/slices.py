"""Metrics of models that differ in their feature types, by groups of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from illmrec.config import EvaluateConfig
from pipelines.studies.ablation import make_case
from pipelines.studies.cases import summarise
from pipelines.studies.study import Bench, Row

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.histories import Sequences

TYPES = (("image",), ("cf",), ("text",), ("image", "cf", "text"))
Groups = Mapping[str, "npt.NDArray[np.bool_]"]
"""Name of a group -> ``bool [n_users]``: who belongs to it."""


def measure_groups(bench: Bench, divide: Callable[[Sequences, int], Groups]) -> list[Row]:
    """Train a model per choice of feature types; return a row per model and group that has users.

    Args:
        bench: where to run.
        divide: sequences and the number of items to groups of users.
    """
    from pipelines.assembly import load_catalog, load_sequences

    evaluation = bench.context.section(EvaluateConfig)
    groups = divide(load_sequences(bench.layout), len(load_catalog(bench.layout)))
    rows = []
    for found in bench.run(make_case(kinds) for kinds in TYPES):
        ranks = found.ranks()["full"]
        rows += [
            {"features": found.case.name, "group": group, "users": int(members.sum()), "run": found.facts["run"]}
            | (summarise(ranks[members], evaluation) if members.any() else {})
            for group, members in groups.items()
        ]
    return rows


def divide_evenly(values: npt.NDArray[np.int64], parts: int) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Return groups of about the same size by ascending value, each named by its range; equal values stay together."""
    import numpy as np

    edges = np.unique(np.quantile(values, np.linspace(0, 1, parts + 1)[1:-1], method="lower"))
    numbers = np.searchsorted(edges, values, side="left")
    groups = []
    for number in np.unique(numbers):
        members = numbers == number
        low, high = int(values[members].min()), int(values[members].max())
        groups.append((f"{low}" if low == high else f"{low} to {high}", members))
    return groups
