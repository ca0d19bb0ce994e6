"""For which items pictures help, and for which they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from illmrec.config import EvaluateConfig
from pipelines.studies.ablation import make_case
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LISTED = 12
"""Items listed at either end."""
LEAST_USERS = 5
"""Fewest targets of a category that is listed."""

WITH = make_case(("image", "cf", "text"))
WITHOUT = make_case(("cf", "text"), representation="title")


def measure(bench: Bench) -> list[Row]:
    """Train with pictures and without any; return what they change of NDCG@10, by category and by item."""
    from pipelines.stages.evaluate import load_material

    found = bench.run((WITH, WITHOUT))
    if len(found) < 2:
        return []
    material = load_material(bench.layout)
    items, targets = material.catalog.items, material.cases.targets.values
    gain = _score(found[0].ranks()["full"]) - _score(found[1].ranks()["full"])
    categories = [" > ".join(path) or "none" for path in items["category"].to_list()]
    rows = _group("category", [categories[item] for item in targets], gain, bench.context.section(EvaluateConfig))
    rows = [row for row in rows if row["users"] >= LEAST_USERS]
    titles = [title or name for title, name in zip(items["title"], items["item_id"], strict=True)]
    by_item = _group("item", [titles[item] for item in targets], gain, None)
    return rows + by_item[:LISTED] + by_item[-LISTED:]


def _score(ranks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from illmrec.evaluation.metrics import ndcg

    return ndcg(ranks, 10)


def _group(level: str, names: list[str], gain: npt.NDArray[np.float64], evaluation: EvaluateConfig | None) -> list[Row]:
    """Return the mean gain of each name, the largest first, with an interval where ``evaluation`` says how."""
    import numpy as np

    from illmrec.evaluation.intervals import bootstrap_means, interval

    known, places = np.unique(np.array(names), return_inverse=True)
    rows: list[Row] = []
    for number, name in enumerate(known.tolist()):
        own = gain[places == number]
        row: Row = {"level": level, "name": name, "users": len(own), "gain": float(own.mean())}
        if evaluation is not None:
            means = bootstrap_means(own[:, None], evaluation.bootstrap_samples, evaluation.seed)[:, 0]
            row["gain.low"], row["gain.high"] = interval(means, evaluation.confidence)
        rows.append(row)
    return sorted(rows, key=lambda row: -float(row["gain"]))


STUDY = Study(
    title="Helpful pictures",
    question="How much NDCG@10 changes when the model has pictures, in the prompt and in retrieval, by the category "
    "of the target, and for the items at either end.",
    paper="Figure 12",
    measure=measure,
    shown=("level", "name", "users", "gain", "gain.low", "gain.high"),
    draw=bars("name", "gain", "change of NDCG@10 by pictures", colour="level"),
    seeded=False,
)
