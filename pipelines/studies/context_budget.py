"""Quality when the prompt may only have so many tokens, by what an item is written as."""

from __future__ import annotations

from pipelines.assembly.recommender import load_recommender
from pipelines.parameters.training import EvaluateConfig
from pipelines.studies.cases import rank_model
from pipelines.studies.overall import make_case
from pipelines.studies.plots import lines
from pipelines.studies.study import Bench, Row, Study

BUDGETS = (4096, 2048, 1024, 512, 256, 128)
WRITTEN = ("image", "image+description", "summary", "attribute")


def measure(bench: Bench) -> list[Row]:
    """Rank by every trained model under every budget; the oldest items beyond it are left out."""
    evaluation = bench.context.section(EvaluateConfig)
    rows = []
    for result in bench.run(make_case(name) for name in WRITTEN):
        model = load_recommender(result.shelf, result.layout.model)
        for budget in BUDGETS:
            model.token_budget = budget
            if (model.token_room or 0) < 1:
                continue
            row = {"case": result.case.name, **result.case.labels, "budget": budget, "run": result.columns["run"]}
            rows.append(row | rank_model(result.shelf, model, evaluation, keep=False))
    return rows


STUDY = Study(
    title="Context budget",
    question="Quality when a prompt may have only so many tokens: trained without that bound, the oldest items "
    "beyond it are left out when ranking.",
    paper="Figure 4",
    measure=measure,
    shown=("model", "budget", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high"),
    draw=lines("budget", "ndcg@10", "model", "tokens of a prompt", "NDCG@10, full catalog", log_x=True),
    seeded=False,
)
