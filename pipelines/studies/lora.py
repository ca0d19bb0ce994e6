"""The language model frozen, and with low-rank adapters trained in it."""

from __future__ import annotations

from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study

RANKS = (0, 8, 64)


def measure(bench: Bench) -> list[Row]:
    """Train with adapters of every rank; 0 is the frozen model."""
    return [found.row for found in bench.run(make_cases())]


def make_cases() -> list[Case]:
    """Return a case per rank."""
    return [
        Case(
            f"rank-{rank}",
            {"language_model": f"LoRA, rank {rank}" if rank else "frozen"},
            {"lora": {"rank": rank}},
        )
        for rank in RANKS
    ]


STUDY = Study(
    title="LoRA",
    question="Whether training low-rank adapters in the language model beats leaving it frozen.",
    paper="Table 3",
    measure=measure,
    shown=("language_model", *METRIC_COLUMNS, "seconds"),
    draw=bars("language_model", "ndcg@10", "NDCG@10, full catalog"),
)
