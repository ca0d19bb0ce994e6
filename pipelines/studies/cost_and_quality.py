"""What a way of writing items costs, and what it buys."""

from __future__ import annotations

from pipelines.studies.overall import make_cases
from pipelines.studies.plots import points
from pipelines.studies.study import Study, tabulate

STUDY = Study(
    title="Cost and quality",
    question="Operations of the language model for one user's prompt against NDCG@10, by what an item is written as.",
    paper="Figure 1(b)",
    measure=tabulate(make_cases),
    shown=("model", "tokens_per_item", "prompt_tokens", "gflop_per_user", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=points("gflop_per_user", "ndcg@10", "model", "GFLOP per user", "NDCG@10, full catalog"),
)
