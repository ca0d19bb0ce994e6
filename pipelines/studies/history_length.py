"""Which feature type serves users with short and with long histories."""

from __future__ import annotations

from pipelines.studies.plots import bars
from pipelines.studies.slices import measure_groups
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics by length of history."""
    return measure_groups(bench, "history length")


STUDY = Study(
    title="Length of the history",
    question="Quality by how many items of a user are known (evaluate.history_bins), for models with one "
    "feature type and with all.",
    paper="Figure 11",
    measure=measure,
    shown=("group", "targets", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
)
