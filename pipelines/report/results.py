"""Evaluation results: a table per protocol, and sentences that follow from its numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.report.reading import Facts

OURS, RIVAL = "illmrec", "sasrec"
MODELS = {OURS: "I-LLMRec", RIVAL: "SASRec", "popularity": "Popularity"}
PROTOCOLS = ("full", "sampled")
HEADLINE = "ndcg@10"


@dataclass(frozen=True)
class Interval:
    """A mean over users with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """Return -1 or 1 where the whole interval is below or above zero, else 0."""
        return (self.low > 0) - (self.high < 0)


@dataclass(frozen=True)
class MetricRow:
    """One metric of all models.

    Args:
        key: as in metrics.json, for example ``ndcg@10``.
        models: interval by model.
        difference: I-LLMRec minus SASRec, paired by user.
    """

    key: str
    models: Mapping[str, Interval]
    difference: Interval

    @property
    def label(self) -> str:
        """The metric's name as readers know it."""
        name, _, cutoff = self.key.partition("@")
        return {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}[name] + (f"@{cutoff}" if cutoff else "")

    @property
    def best(self) -> frozenset[str]:
        """Models with the highest value; several when they tie."""
        top = max(interval.value for interval in self.models.values())
        return frozenset(model for model, interval in self.models.items() if interval.value == top)


@dataclass(frozen=True)
class ProtocolResults:
    """All metrics under one protocol."""

    title: str
    note: str
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True)
class Results:
    """What ``evaluate`` found.

    Args:
        protocols: full catalog first.
        verdict: sentences about the full catalog.
        confidence: coverage of the intervals, 0 to 1.
    """

    protocols: tuple[ProtocolResults, ...]
    verdict: tuple[str, ...]
    confidence: float


def build_results(metrics: Facts, confidence: float, negatives: int | None) -> Results:
    """Return tables and verdict from metrics.json.

    Args:
        metrics: the content of metrics.json.
        confidence: coverage of its intervals, 0 to 1.
        negatives: sampled negatives per user; None where unknown.

    Raises:
        DataError: when a metric, an interval's end or a difference is missing or no number.
    """
    protocols = tuple(
        ProtocolResults(*_describe_protocol(name, negatives), _build_rows(metrics, name)) for name in PROTOCOLS
    )
    return Results(protocols, judge_rows(protocols[0].rows, confidence), confidence)


def _describe_protocol(name: str, negatives: int | None) -> tuple[str, str]:
    if name == "full":
        return "Full catalog (primary)", "Each test target is ranked among all items the user had not yet taken."
    count = "" if negatives is None else f"{negatives:,} "
    among = f"Each test target is ranked among {count}random items the user never took"
    return f"{count}sampled negatives".capitalize(), f"{among}; that is easier, and it can order models differently."


def _build_rows(metrics: Facts, protocol: str) -> tuple[MetricRow, ...]:
    found = [re.fullmatch(rf"{OURS}/{protocol}/((hit|ndcg|mrr)(?:@(\d+))?)", key) for key in metrics.values]
    order = {"hit": 0, "ndcg": 1, "mrr": 2}
    matches = sorted((match for match in found if match), key=lambda match: (order[match[2]], int(match[3] or 0)))
    if not matches:
        raise metrics.refuse(f"there is no metric of {OURS} for the protocol {protocol!r}")
    return tuple(
        MetricRow(
            match[1],
            {model: _read_interval(metrics, f"{model}/{protocol}/{match[1]}") for model in MODELS},
            _read_interval(metrics, f"{OURS}-{RIVAL}/{protocol}/{match[1]}"),
        )
        for match in matches
    )


def _read_interval(metrics: Facts, key: str) -> Interval:
    return Interval(metrics.number(key), metrics.number(f"{key}.low"), metrics.number(f"{key}.high"))


def judge_rows(rows: tuple[MetricRow, ...], confidence: float) -> tuple[str, ...]:
    """Return plain sentences that compare I-LLMRec with SASRec and popularity on the full catalog.

    The headline metric is NDCG@10, or the last row where it was not computed.
    """
    row = next((row for row in rows if row.key == HEADLINE), rows[-1])
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


def signed(value: float, digits: int = 4) -> str:
    """Return a number with its sign, a true minus among them; what rounds to zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text
