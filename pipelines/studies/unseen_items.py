"""Which feature type finds items that nobody in training has interacted with."""

from __future__ import annotations

from pipelines.studies.plots import bars
from pipelines.studies.slices import measure_groups
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics on unseen and on seen targets."""
    return measure_groups(bench, "target in training")


STUDY = Study(
    title="Unseen items",
    question="Quality on targets that no training interaction is of. With a 5-core they are few: look at the "
    "intervals.",
    paper="section 4.4, unseen items",
    measure=measure,
    shown=("group", "targets", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "hit@10", "Hit@10, full catalog", colour="features"),
)
