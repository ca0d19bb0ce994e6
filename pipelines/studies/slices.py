"""Metrics of models that differ in their feature types, by groups of test targets."""

from __future__ import annotations

import functools

from illmrec.evaluation.slices import divide_cases
from pipelines.assembly.contest import load_material
from pipelines.parameters.training import EvaluateConfig
from pipelines.studies.cases import Case, summarise
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study

SHOWN = ("group", "targets", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high")
TYPES = (("image",), ("cf",), ("text",), ("image", "cf", "text"))


def measure_groups(bench: Bench, kind: str) -> list[Row]:
    """Train a model per choice of feature types; return a row per group and model, group by group.

    Args:
        bench: where to run.
        kind: what groups are told apart by; see :mod:`illmrec.evaluation.slices`.
    """
    evaluation, material = bench.context.section(EvaluateConfig), load_material(bench.shelf)
    slices = divide_cases(material.cases, material.popularity, material.pictured, evaluation.history_bins)
    models = bench.run(Case("+".join(kinds), train={"features": kinds, "representation": "image"}) for kinds in TYPES)
    rows = []
    for part in slices:
        if part.group != kind:
            continue
        for result in models:
            row = {"group": part.name, "targets": int(part.members.sum()), "features": result.case.name}
            row |= {"what": f"{part.name}: {result.case.name}", "run": result.columns["run"]}
            ranks, owners = result.ranks()["full"][part.members], material.cases.owners[part.members]
            rows.append(row | summarise([ranks], owners, evaluation, of_targets=True))
    return rows


POPULARITY = Study(
    title="Popularity of the target",
    question="Quality by how often the target occurs in training, in fifths, for models with one feature "
    "type in retrieval and with all. The prompt has pictures.",
    paper="Figure 6",
    measure=functools.partial(measure_groups, kind="target's popularity"),
    shown=SHOWN,
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
    seeded=False,
)

LENGTH = Study(
    title="Length of the history",
    question="Quality by how many items of a user are known (evaluate.history_bins), for models with one "
    "feature type in retrieval and with all. The prompt has pictures.",
    paper="Figure 11",
    measure=functools.partial(measure_groups, kind="history length"),
    shown=SHOWN,
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
    seeded=False,
)

UNSEEN = Study(
    title="Unseen items",
    question="Quality on targets that no training interaction is of. With a 5-core they are few: look at the "
    "intervals.",
    paper="section 4.4, unseen items",
    measure=functools.partial(measure_groups, kind="target in training"),
    shown=SHOWN,
    draw=bars("what", "hit@10", "Hit@10, full catalog", colour="features"),
    seeded=False,
)
