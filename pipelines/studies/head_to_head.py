"""All models of a data set whose ranks are there, in one table: language models beside tuned collaborative filtering.

Studies ``overall`` and ``rivals`` rank the same test targets. Here their ranks lie side by side, so that differences
are paired by user. The rival to compare with is chosen on the validation targets. Nothing is trained or ranked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.evaluation.metrics import NDCG_10, average_by_user, ndcg
from illmrec.evaluation.summary import Resampling, compare_models, estimate_means
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.artifacts import read_object
from pipelines.project.layout import Layout
from pipelines.studies.rivals.catalogue import RIVALS
from pipelines.studies.rivals.comparison import FOLDER

METRIC = str(NDCG_10)
"""Column of the table."""


@dataclass(frozen=True)
class Model:
    """A model and its trainings.

    Args:
        title: what the table calls it.
        kind: what it learns from.
        trials: trainings its parameters were looked for with; None where nothing says.
        validation: NDCG@10 on the validation targets.
        ranks: the test targets' ranks, one table per seed.
    """

    title: str
    kind: str
    trials: int | None
    validation: float
    ranks: tuple[Path, ...]


def compare_all(layout: Layout, evaluation: EvaluateConfig) -> list[dict[str, Any]]:
    """Return a row per model, the best first: its NDCG@10, and that minus the best rival's, paired by user.

    A row has ``model``, ``kind``, ``seeds``, ``trials`` of rivals, ``ndcg@10`` with ``.low`` and ``.high``, ``.sd``
    where there are several seeds, ``against`` and ``difference`` with the same ends and its corrected p-value ``holm``.
    Without ranks of both studies there is no row. Models that ranked other targets (another split) are left out.
    """
    cases, rivals = _list_cases(layout), _list_rivals(layout)
    if not rivals:
        return []
    best = max(rivals, key=lambda model: model.validation)
    models = {model.title: (model, _read_ranks(model)) for model in (*cases, *rivals)}
    targets = _name_targets(models[best.title][1])
    found = {
        title: (model, _measure(tables))
        for title, (model, tables) in models.items()
        if len(targets) == 1 and _name_targets(tables) == targets
    }
    return _tabulate(found, best.title, evaluation) if any(case.title in found for case in cases) else []


def _list_cases(layout: Layout) -> list[Model]:
    cases = layout.studies / "cases"
    models = []
    for row in _read(layout.study("overall") / "results.json", "study overall").get("rows", []):
        folders = [cases / run / "artifacts" / layout.dataset for run in row.get("run", "").split()]
        ranks = tuple(folder / "evaluation" / "ranks.parquet" for folder in folders)
        if ranks and all(path.is_file() for path in ranks):
            models.append(Model(row["model"], row["kind"], None, row["validation_ndcg@10"], ranks))
    return models


def _list_rivals(layout: Layout) -> list[Model]:
    folder = layout.studies / FOLDER
    facts = _read(folder / "results.json", "rivals")
    models = []
    for row in facts.get("summary", []):
        own = [each for each in facts["rows"] if each["rival"] == row["rival"]]
        ranks = tuple(folder / each["ranks"] for each in own)
        if ranks and all(path.is_file() for path in ranks):
            kind, validation = "collaborative filtering", row["validation_ndcg@10"]
            models.append(Model(row["title"], kind, row["trials"], validation, ranks))
    return models


def _read(path: Path, command: str) -> dict[str, Any]:
    return read_object(path, command) if path.is_file() else {}


def list_missing(layout: Layout) -> list[str]:
    """Return what the rivals are called that have not been ranked, in the order of the list of rivals."""
    there = {model.title for model in _list_rivals(layout)}
    return [rival.title for rival in RIVALS.values() if rival.title not in there]


def _read_ranks(model: Model) -> list[pl.DataFrame]:
    """Return a table per seed: user, item (files of older versions do not name it) and rank."""
    return [pl.read_parquet(path).rename({"full": "rank"}, strict=False) for path in model.ranks]


def _name_targets(tables: list[pl.DataFrame]) -> set[bytes]:
    """Return the users and items that were ranked, as bytes: one entry where all seeds ranked the same."""
    columns = [name for name in (USER_INDEX, ITEM_INDEX) if name in tables[0].columns]
    return {table.select(columns).to_numpy().tobytes() for table in tables}


def _measure(tables: list[pl.DataFrame]) -> npt.NDArray[np.float64]:
    """Return NDCG@10 as ``float64 [s, n]``: a user's mean, by seed."""
    _, owners = np.unique(tables[0][USER_INDEX].to_numpy(), return_inverse=True)
    count = int(owners.max()) + 1
    return np.stack([average_by_user(ndcg(table["rank"].to_numpy(), 10), owners, count) for table in tables])


def _tabulate(
    found: Mapping[str, tuple[Model, npt.NDArray[np.float64]]], best: str, evaluation: EvaluateConfig
) -> list[dict[str, Any]]:
    how = Resampling(evaluation.bootstrap_samples, evaluation.confidence, evaluation.permutations, evaluation.seed)
    values = {title: {NDCG_10: gains.mean(axis=0)} for title, (_, gains) in found.items()}
    means = estimate_means(values, how)
    differences = compare_models(values, [(title, best) for title in found if title != best], how)
    rows = []
    for title, (model, gains) in found.items():
        row: dict[str, Any] = {"model": title, "kind": model.kind, "seeds": len(gains), "trials": model.trials}
        row |= means[title, NDCG_10].as_columns(METRIC)
        if len(gains) > 1:
            row[f"{METRIC}.sd"] = float(gains.mean(axis=1).std(ddof=1))
        if difference := differences.get((title, best, NDCG_10)):
            row |= {"against": best, **difference.estimate.as_columns("difference"), "holm": difference.holm}
        rows.append(row)
    return sorted(rows, key=lambda row: -row[METRIC])
