"""Full descriptions against summaries of them and no description, and how noisy the descriptions are."""

from __future__ import annotations

import json

from pipelines.project.layout import require
from pipelines.studies.overall import METRIC_COLUMNS, make_case
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train the three; every row carries what the quality gate found in the descriptions."""
    layout = bench.layout
    summary = require(layout.prepared / "summary.json", f"prepare --dataset {layout.dataset}")
    counts = json.loads(summary.read_text(encoding="utf-8"))
    noise = {name: counts.get(name) for name in ("descriptions_with_boilerplate", "empty_descriptions", "items")}
    return [row | noise for row in bench.rows(make_case(name) for name in ("description", "summary", "title"))]


STUDY = Study(
    title="Full and summarised descriptions",
    question="What summarising a description loses, and how many descriptions repeat the same sentences.",
    paper="Figure 5",
    measure=measure,
    shown=("model", *METRIC_COLUMNS, "tokens_per_item", "descriptions_with_boilerplate", "empty_descriptions"),
    draw=bars("model", "ndcg@10", "NDCG@10, full catalog"),
)
