"""Both losses at once, and alignment first with retrieval after it."""

from __future__ import annotations

from pipelines.parameters.training import TrainConfig
from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train both ways; the second takes half as many epochs more, for alignment."""
    epochs = int(bench.extra.get("epochs", bench.context.section(TrainConfig).epochs))
    cases = [
        Case("end-to-end", {"strategy": "both at once"}, {"alignment_weight": 1.0, "alignment_epochs": 0}),
        Case(
            "two-stage",
            {"strategy": "alignment, then retrieval"},
            {"alignment_weight": 1.0, "alignment_epochs": max(1, epochs // 2)},
        ),
    ]
    return bench.rows(cases)


STUDY = Study(
    title="Training strategy",
    question="Both losses at once, or the adaptor trained by alignment alone and frozen while retrieval is trained.",
    paper="Table 10",
    measure=measure,
    shown=("strategy", *METRIC_COLUMNS, "seconds"),
    draw=bars("strategy", "ndcg@10", "NDCG@10, full catalog"),
)
