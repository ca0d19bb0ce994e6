"""Metrics of models that differ in their feature types, by groups of test targets."""

from __future__ import annotations

from illmrec.config import EvaluateConfig
from pipelines.studies.ablation import make_case
from pipelines.studies.cases import summarise
from pipelines.studies.study import Bench, Row

TYPES = (("image",), ("cf",), ("text",), ("image", "cf", "text"))


def measure_groups(bench: Bench, kind: str) -> list[Row]:
    """Train a model per choice of feature types; return a row per group and model, group by group.

    Args:
        bench: where to run.
        kind: what groups are told apart by; see :mod:`illmrec.evaluation.slices`.
    """
    from illmrec.evaluation.slices import divide_cases
    from pipelines.stages.evaluate import load_material

    evaluation, material = bench.context.section(EvaluateConfig), load_material(bench.layout)
    slices = divide_cases(material.cases, material.popularity, material.pictured, evaluation.history_bins)
    models = bench.run(make_case(kinds) for kinds in TYPES)
    rows = []
    for part in slices:
        if part.group != kind:
            continue
        for found in models:
            about = {"group": part.name, "targets": int(part.members.sum()), "features": found.case.name}
            about |= {"what": f"{part.name}: {found.case.name}", "run": found.facts["run"]}
            ranks, owners = found.ranks()["full"][part.members], material.cases.owners[part.members]
            rows.append(about | summarise(ranks, owners, evaluation))
    return rows
