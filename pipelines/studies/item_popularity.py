"""Which feature type serves rare and popular items."""

from __future__ import annotations

from pipelines.studies.plots import bars
from pipelines.studies.slices import measure_groups
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics by fifths of the targets' popularity."""
    return measure_groups(bench, "target's popularity")


STUDY = Study(
    title="Popularity of the target",
    question="Quality by how often the target occurs in training, in fifths, for models with one feature "
    "type and with all.",
    paper="Figure 6",
    measure=measure,
    shown=("group", "targets", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
)
