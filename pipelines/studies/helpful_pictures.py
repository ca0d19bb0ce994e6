"""For which items pictures help, and for which they do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.evaluation.intervals import bootstrap_means, interval
from illmrec.evaluation.metrics import ndcg
from pipelines.assembly.contest import load_material
from pipelines.parameters.training import EvaluateConfig, TrainConfig
from pipelines.studies.cases import Case
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study

LISTED = 12
"""Items listed at either end."""
LEAST_USERS = 5
"""Fewest targets of a category or item that is listed."""

WITHOUT_PICTURES = {"image": "title", "image+description": "description", "image+cf": "cf"}
"""Representation -> what is left of an item in the prompt without its picture."""


def make_cases(config: TrainConfig) -> tuple[Case, Case]:
    """Return the case with pictures and the one without any; the rest of an item is written as the section says."""
    pictured = config.representation if config.representation in WITHOUT_PICTURES else "image"
    bare = WITHOUT_PICTURES[pictured]
    return (
        Case("pictures", train={"features": ("image", "cf", "text"), "representation": pictured}),
        Case("no-pictures", train={"features": ("cf", "text"), "representation": bare, "image_dropout": 0.0}),
    )


def measure(bench: Bench) -> list[Row]:
    """Train with pictures and without any; return what they change of NDCG@10, by category and by item."""
    found = bench.run(make_cases(bench.context.section(TrainConfig)))
    if len(found) < 2:
        return []
    material = load_material(bench.shelf)
    items, targets = material.catalog.items, material.cases.targets.values
    gain = _score(found[0].ranks()["full"]) - _score(found[1].ranks()["full"])
    categories = [" > ".join(path) or "none" for path in items["category"].to_list()]
    evaluation = bench.context.section(EvaluateConfig)
    by_category = _group("category", [categories[item] for item in targets], gain, evaluation)
    titles = [title or name for title, name in zip(items["title"], items["item_id"], strict=True)]
    by_item = _group("item", [titles[item] for item in targets], gain, evaluation)
    return by_category + by_item[:LISTED] + by_item[LISTED:][-LISTED:]


def _score(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return ndcg(ranks, 10)


def _group(level: str, names: list[str], gain: npt.NDArray[np.float64], evaluation: EvaluateConfig) -> list[Row]:
    """Return the mean gain of each name with enough targets and its interval, the largest first."""
    known, places = np.unique(np.array(names), return_inverse=True)
    rows: list[Row] = []
    for number, name in enumerate(known.tolist()):
        own = gain[places == number]
        if len(own) < LEAST_USERS:
            continue
        means = bootstrap_means(own[:, None], evaluation.bootstrap_samples, evaluation.seed)[:, 0]
        low, high = interval(means, evaluation.confidence)
        about = {"level": level, "name": name, "targets": len(own)}
        rows.append(about | {"gain": float(own.mean()), "gain.low": low, "gain.high": high})
    return sorted(rows, key=lambda row: -float(row["gain"]))


STUDY = Study(
    title="Helpful pictures",
    question="How much NDCG@10 changes when the model has pictures, in the prompt and in retrieval, by the category "
    f"of the target, and for the items at either end. Categories and items with fewer than {LEAST_USERS} targets are "
    "left out; intervals are over targets, not corrected for the number of rows.",
    paper="Figure 12",
    measure=measure,
    shown=("level", "name", "targets", "gain", "gain.low", "gain.high"),
    draw=bars("name", "gain", "change of NDCG@10 by pictures", colour="level"),
    seeded=False,
)
