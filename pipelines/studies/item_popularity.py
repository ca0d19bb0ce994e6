"""Which feature type serves rare and popular items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.studies.plots import bars
from pipelines.studies.slices import Groups, divide_evenly, measure_groups
from pipelines.studies.study import Bench, Row, Study

if TYPE_CHECKING:
    from illmrec.data.histories import Sequences

PARTS = 5


def divide_by_popularity(sequences: Sequences, n_items: int) -> Groups:
    """Group users by how often their target occurs in training: quintiles of the targets."""
    import numpy as np

    counts = np.bincount(sequences.train.values, minlength=n_items)
    return dict(divide_evenly(counts[sequences.test], PARTS))


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics by quintile."""
    rows = measure_groups(bench, divide_by_popularity)
    return [row | {"what": f"target seen {row['group']} times: {row['features']}"} for row in _by_group(rows)]


def _by_group(rows: list[Row]) -> list[Row]:
    order = list(dict.fromkeys(row["group"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["group"]))


STUDY = Study(
    title="Popularity of the target",
    question="Quality by how often the target occurs in training (quintiles), for models with one feature type and "
    "with all.",
    paper="Figure 6",
    measure=measure,
    shown=("group", "users", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
)
