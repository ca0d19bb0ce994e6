"""Which feature type finds items that nobody in training has interacted with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.studies.plots import bars
from pipelines.studies.slices import Groups, measure_groups
from pipelines.studies.study import Bench, Row, Study

if TYPE_CHECKING:
    from illmrec.data.histories import Sequences


def divide_by_training(sequences: Sequences, n_items: int) -> Groups:
    """Group users by whether their target occurs in training."""
    import numpy as np

    seen = np.bincount(sequences.train.values, minlength=n_items)[sequences.test] > 0
    return {"unseen": ~seen, "seen": seen}


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics on unseen and on seen targets."""
    rows = measure_groups(bench, divide_by_training)
    rows.sort(key=lambda row: row["group"] != "unseen")
    return [row | {"what": f"{row['group']}: {row['features']}"} for row in rows]


STUDY = Study(
    title="Unseen items",
    question="Quality on targets that no training interaction is of. With a 5-core they are few: look at the "
    "intervals.",
    paper="section 4.4, unseen items",
    measure=measure,
    shown=("group", "users", "features", "hit@5", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "hit@10", "Hit@10, full catalog", colour="features"),
)
