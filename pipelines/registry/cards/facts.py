"""What cards are written from, and the three lines that describe a version.

Everything is read from the artifacts that were registered; a figure that an artifact does not hold is left out with a
word, never filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from illmrec.evaluation.metrics import NDCG_10, Metric
from illmrec.evaluation.table import CASES, MetricsTable
from pipelines.assembly.encoders import name_encoder
from pipelines.project.layout import Layout
from pipelines.registry.cards.markdown import show_row
from pipelines.registry.serving_cost import ServingCost

OURS, RIVALS = "illmrec", ("sasrec", "popularity")


@dataclass(frozen=True)
class CardFacts:
    """What cards are written from.

    Args:
        layout: the data set.
        model: registered model's name.
        tags: of the version.
        metrics: of the evaluation.
        state: of the trained model.
        gates: results of the two quality gates.
        summary: of ``prepare``.
        profile: of ``validate``.
        cost: what serving costs; None where it was not measured.
        confidence: coverage of the intervals.
        synthetic: whether the data set says that it was made up.
    """

    layout: Layout
    model: str
    tags: Mapping[str, str]
    metrics: MetricsTable
    state: Mapping[str, Any]
    gates: Mapping[str, Mapping[str, Any]]
    summary: Mapping[str, Any]
    profile: Mapping[str, Any]
    cost: ServingCost | None
    confidence: float
    synthetic: bool

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings of training."""
        settings: Mapping[str, Any] = self.state["settings"]
        return settings

    def count(self, name: str) -> float | None:
        """Return a count or share of the cases that were evaluated on; None where there is none."""
        row = self.metrics.find(Metric(name), protocol=CASES)
        return None if row is None else row.value


def describe_version(facts: CardFacts) -> str:
    """Return three lines: what it is, how good it is, what the gates said."""
    settings = facts.settings
    made = "synthetic data" if facts.synthetic else "data"
    what = (
        f"{name_encoder(facts.state['backbone'])}, items as {settings['representation']}, retrieval by "
        f"{' + '.join(settings['features'])}; {made} `{facts.layout.dataset}`, "
        f"{facts.profile['counts']['users']:,} users, {facts.profile['counts']['items']:,} items"
    )
    gate = "; ".join(
        f"{name} gate passed with {gate['warnings']} warnings" for name, gate in facts.gates.items() if gate["passed"]
    )
    return f"{what}  \n{_describe_quality(facts)}  \n{gate}"


def _describe_quality(facts: CardFacts) -> str:
    parts = []
    for name in (OURS, *RIVALS):
        row = facts.metrics.find(NDCG_10, model=name)
        if row is None:
            continue
        parts.append(f"this model {show_row(row)}" if name == OURS else f"{name} {row.value:.4f}")
    return f"NDCG@10, full catalog: {', '.join(parts) or 'not evaluated'}"


def describe_contest(facts: CardFacts) -> list[str]:
    """Return how many targets were ranked among what."""
    users, targets, items = (facts.count(name) for name in ("users", "targets", "items"))
    if users is None or targets is None:
        return ["Test targets are ranked among the full catalog; items of the history are no candidates."]
    return [
        f"{int(targets):,} test targets of {int(users):,} users, ranked among "
        + (f"{int(items):,} items" if items is not None else "the full catalog")
        + "; items of the history are no candidates."
    ]
