"""Which feature type serves users with short and with long histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.studies.plots import bars
from pipelines.studies.slices import Groups, divide_evenly, measure_groups
from pipelines.studies.study import Bench, Row, Study

if TYPE_CHECKING:
    from illmrec.data.histories import Sequences

PARTS = 4


def divide_by_length(sequences: Sequences, n_items: int) -> Groups:
    """Group users by the number of their training interactions: quarters of the users."""
    del n_items
    return dict(divide_evenly(sequences.train.lengths, PARTS))


def measure(bench: Bench) -> list[Row]:
    """Train a model per feature type and all together; return metrics by length of history."""
    rows = measure_groups(bench, divide_by_length)
    order = list(dict.fromkeys(row["group"] for row in rows))
    rows.sort(key=lambda row: order.index(row["group"]))
    return [row | {"what": f"{row['group']} items: {row['features']}"} for row in rows]


STUDY = Study(
    title="Length of the history",
    question="Quality by how many training interactions a user has, for models with one feature type and all.",
    paper="Figure 11",
    measure=measure,
    shown=("group", "users", "features", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="features"),
)
