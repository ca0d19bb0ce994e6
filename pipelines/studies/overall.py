"""Recommenders with a language model, told apart by what an item is written as, beside collaborative filtering."""

from __future__ import annotations

from typing import Any

from illmrec.evaluation.protocol import DotScorer, PopularityScorer
from pipelines.assembly.contest import load_material
from pipelines.assembly.recommender import load_sasrec
from pipelines.parameters.training import EvaluateConfig
from pipelines.studies.cases import Case, rank_scorer
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study, tabulate

REPRESENTATIONS = {
    "image": "I-LLMRec",
    "image+cf": "I-LLMRec, CF beside the picture in the slot",
    "image+description": "I-LLMRec+",
    "summary": "summary + retrieval (as TRSR)",
    "cf": "CF token + retrieval (as A-LLMRec)",
    "attribute": "attributes + retrieval (as TALLRec)",
    "description": "full description + retrieval",
    "title": "title alone + retrieval",
}
"""Representation -> what the tables call it. The rivals are these representations with this project's retrieval, as in
the paper, and say nothing about those systems as published."""

METRIC_COLUMNS = (
    "validation_ndcg@10",
    "hit@5",
    "ndcg@5",
    "hit@10",
    "ndcg@10",
    "ndcg@10.low",
    "ndcg@10.high",
    "ndcg@10.sd",
    "sampled/hit@5",
    "sampled/ndcg@5",
    "seeds",
)


def make_case(representation: str, **train: Any) -> Case:
    """Return the case of one representation, otherwise as set."""
    labels = {"model": REPRESENTATIONS[representation], "kind": "language model"}
    return Case(representation, labels, {"representation": representation, **train})


def make_cases() -> list[Case]:
    """Return a case per representation."""
    return [make_case(name) for name in REPRESENTATIONS]


def measure(bench: Bench) -> list[Row]:
    """Train every representation, and rank by them, by SASRec and by popularity."""
    rows = tabulate(make_cases)(bench)
    return rows + rank_rivals(bench)


def rank_rivals(bench: Bench) -> list[Row]:
    """Return the rows of popularity and of the SASRec that gives the CF features."""
    shelf, evaluation = bench.shelf, bench.context.section(EvaluateConfig)
    material, (sasrec, _) = load_material(shelf), load_sasrec(shelf)
    scorers = {
        "SASRec": DotScorer(sasrec.represent_users(material.histories), sasrec.represent_items()),
        "popularity": PopularityScorer(material.sequences.train, len(material.catalog)),
    }
    return [
        {"case": name, "model": name, "kind": "collaborative filtering"}
        | rank_scorer(shelf, scorer, evaluation, keep=False)
        for name, scorer in scorers.items()
    ]


STUDY = Study(
    title="Overall",
    question="The same language model and the same retrieval, with items written in different ways, beside "
    "collaborative filtering. Rivals are these ways of writing, not those systems as published.",
    paper="Table 1; on other data sets tables 5 to 7",
    measure=measure,
    shown=("model", *METRIC_COLUMNS, "tokens_per_item", "seconds"),
    draw=bars("model", "ndcg@10", "NDCG@10, full catalog", colour="kind"),
)
