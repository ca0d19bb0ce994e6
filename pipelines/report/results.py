"""Evaluation results: a table per protocol, and sentences that follow from its numbers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from illmrec.evaluation.metrics import MRR, NDCG_10, Metric
from illmrec.evaluation.summary import Estimate
from illmrec.evaluation.table import MetricsTable
from pipelines.report.figures import MODELS, OURS, RIVAL, find_best, show_p, signed
from pipelines.report.lists import ListRow, read_lists
from pipelines.report.paired_tests import PairedTests, read_tests
from pipelines.report.slices import SliceGroup

PROTOCOLS = ("full", "sampled", "popular", "candidates")
NEEDED = ("full", "sampled")
"""Protocols without which there are no results; the others are shown where they were measured."""
NAMES = {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}


@dataclass(frozen=True)
class MetricRow:
    """One metric of all models.

    Args:
        metric: which, with its cutoff.
        models: interval by model.
        difference: I-LLMRec minus SASRec, paired by user.
    """

    metric: Metric
    models: Mapping[str, Estimate]
    difference: Estimate

    @property
    def label(self) -> str:
        """The metric's name as readers know it."""
        return str(self.metric._replace(name=NAMES[self.metric.name]))

    @property
    def best(self) -> frozenset[str]:
        """Models with the highest value; several when they tie, none when all do."""
        return find_best(self.models)


@dataclass(frozen=True)
class ProtocolResults:
    """All metrics under one protocol."""

    title: str
    note: str
    rows: tuple[MetricRow, ...]

    @property
    def headline(self) -> MetricRow:
        """The row of NDCG@10, or the last one where it was not computed."""
        return pick_headline(self.rows)


@dataclass(frozen=True)
class Results:
    """What ``evaluate`` measured.

    Args:
        protocols: full catalog first.
        verdict: sentences about the full catalog.
        confidence: coverage of the intervals, 0 to 1.
        tests: all pairs of models on the full catalog.
        lists: what the recommended lists are like.
        slices: where the models are good.
    """

    protocols: tuple[ProtocolResults, ...]
    verdict: tuple[str, ...]
    confidence: float
    tests: PairedTests | None
    lists: tuple[ListRow, ...]
    slices: tuple[SliceGroup, ...]


def build_results(
    metrics: MetricsTable, confidence: float, negatives: int | None, slices: tuple[SliceGroup, ...] = ()
) -> Results:
    """Return tables and verdict.

    Args:
        metrics: of the evaluation.
        confidence: coverage of its intervals, 0 to 1.
        negatives: sampled negatives per user; None where unknown.
        slices: groups of test targets.

    Raises:
        DataError: when a metric, an interval's end or a difference is missing or no number.
    """
    protocols = tuple(
        ProtocolResults(*_describe_protocol(name, negatives), _build_rows(metrics, name))
        for name in PROTOCOLS
        if name in NEEDED or metrics.find(MRR, model=OURS, protocol=name) is not None
    )
    rows = protocols[0].rows
    tests = read_tests(metrics, {row.metric: row.label for row in rows})
    verdict = judge_rows(rows, confidence) + judge_tests(rows, tests)
    return Results(protocols, verdict, confidence, tests, read_lists(metrics), slices)


def _describe_protocol(name: str, negatives: int | None) -> tuple[str, str]:
    if name == "full":
        return "Full catalog (primary)", "Each test target is ranked among all items the user had not yet taken."
    if name == "candidates":
        return "Given candidates", "Each test target is ranked among the candidates that evaluate.candidates names."
    count = "" if negatives is None else f"{negatives:,} "
    if name == "popular":
        among = f"Each test target is ranked among {count}items the user never took, drawn by popularity"
        note = f"{among}: hard for a model that recommends what is popular, so the order of models can turn again."
        return f"{count}popular negatives".capitalize(), note
    among = f"Each test target is ranked among {count}random items the user never took"
    return f"{count}sampled negatives".capitalize(), f"{among}; that is easier, and it can order models differently."


def _build_rows(metrics: MetricsTable, protocol: str) -> tuple[MetricRow, ...]:
    order = list(NAMES)
    ours = metrics.select(model=OURS, variant=None, against=None, protocol=protocol)
    measured = sorted(
        (row.name for row in ours if row.metric in NAMES),
        key=lambda metric: (order.index(metric.name), metric.cutoff or sys.maxsize),
    )
    if not measured:
        raise metrics.refuse(f"there is no metric of {OURS} for the protocol {protocol!r}")
    return tuple(
        MetricRow(
            metric,
            {model: metrics.interval(metric, model=model, protocol=protocol) for model in MODELS},
            metrics.interval(metric, model=OURS, against=RIVAL, protocol=protocol),
        )
        for metric in measured
    )


def pick_headline(rows: tuple[MetricRow, ...]) -> MetricRow:
    """Return the row of NDCG@10, or the last one where it was not computed."""
    return next((row for row in rows if row.metric == NDCG_10), rows[-1])


def judge_rows(rows: tuple[MetricRow, ...], confidence: float) -> tuple[str, ...]:
    """Return plain sentences that compare I-LLMRec with SASRec and popularity on the full catalog.

    The headline metric is NDCG@10, or the last row where it was not computed.
    """
    row = pick_headline(rows)
    ours, rival, gap = row.models[OURS], row.models[RIVAL], row.difference
    opening = {
        -1: "I-LLMRec ranks worse than SASRec on this data set",
        0: "I-LLMRec and SASRec cannot be told apart on this data set",
        1: "I-LLMRec ranks better than SASRec on this data set",
    }[gap.side]
    span = f"{confidence:.0%} interval {signed(gap.low)} to {signed(gap.high)}"
    behind = sum(row.difference.side < 0 for row in rows)
    ahead = sum(row.difference.side > 0 for row in rows)
    compared = f"{row.label} is {ours.value:.4f} against {rival.value:.4f}, a difference of {signed(gap.value)}"
    counted = f"below zero for {behind} and above zero for {ahead}"
    sentences = [
        f"{opening}: {compared} ({span}).",
        f"Of {len(rows)} metrics the whole interval of the difference is {counted}.",
    ]
    if row.models["popularity"].value >= ours.value:
        popular = row.models["popularity"].value
        sentences.append(f"Recommending the most popular items does as well or better: {row.label} {popular:.4f}.")
    return tuple(sentences)


def judge_tests(rows: tuple[MetricRow, ...], tests: PairedTests | None) -> tuple[str, ...]:
    """Return a sentence about the headline's difference to SASRec when all that was tested is taken into account."""
    if tests is None:
        return ()
    row = pick_headline(rows)
    tested = tests.rows[row.label][0]
    count = len(tests.rows) * len(tests.pairs)
    alone = f"By itself this difference in {row.label} has a p-value of {show_p(tested.p)}"
    return (f"{alone}; with all {count} differences tested taken into account (Holm) it is {show_p(tested.holm)}.",)
