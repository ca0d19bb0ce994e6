"""The language model frozen, and with low-rank adapters trained in it."""

from __future__ import annotations

from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Study, tabulate

RANKS = (0, 8, 64)


def make_cases() -> list[Case]:
    """Return a case per rank; 0 is the frozen model."""
    return [
        Case(f"rank-{rank}", {"language_model": f"LoRA, rank {rank}" if rank else "frozen"}, {"lora": {"rank": rank}})
        for rank in RANKS
    ]


STUDY = Study(
    title="LoRA",
    question="Whether training low-rank adapters in the language model beats leaving it frozen.",
    paper="Table 3",
    measure=tabulate(make_cases),
    shown=("language_model", *METRIC_COLUMNS, "seconds"),
    draw=bars("language_model", "ndcg@10", "NDCG@10, full catalog"),
)
