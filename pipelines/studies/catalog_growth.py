"""Models of a catalog at several sizes, each on its own catalog and on the next larger one without new training."""

from __future__ import annotations

from dataclasses import replace

from illmrec.config import EvaluateConfig
from pipelines.layout import Layout
from pipelines.studies.cases import Case, Found, rank_scorer, run_case
from pipelines.studies.plots import bars
from pipelines.studies.smaller_catalog import open_smaller
from pipelines.studies.study import Bench, Row, Study

SHARES = (0.25, 0.5, 0.75, 1.0)


def measure(bench: Bench) -> list[Row]:
    """Train at every size; rank by each model on its own catalog and by the one before it, which knows no new item."""
    chosen = bench.choose(Case(f"{round(100 * share):03d}", {"share": share}) for share in SHARES)
    rows: list[Row] = []
    before: Found | None = None
    for case in chosen:
        share = float(case.labels["share"])
        layout = open_smaller(bench.context, share)
        if before is not None:
            rows.append(_describe(before, share, "trained before the growth") | _rank_stale(bench, before, layout))
        before = run_case(replace(bench.context, layout=layout), case, bench.extra)
        rows.append(_describe(before, share, "trained on this catalog") | dict(before.facts))
    return rows


def _describe(found: Found, share: float, what: str) -> Row:
    trained = float(found.case.labels["share"])
    return {
        "catalog": share,
        "model": what,
        "what": f"{share:.0%} of the catalog, trained on {trained:.0%}",
        "trained_on": trained,
        "run": found.facts["run"],
    }


def _rank_stale(bench: Bench, found: Found, layout: Layout) -> dict[str, float]:
    """Rank a larger catalog's test targets by a smaller one's model; new items have no CF part."""
    from illmrec.evaluation.protocol import DotScorer
    from pipelines.assembly import load_sequences
    from pipelines.carry_over import carry_model

    evaluation = bench.context.section(EvaluateConfig)
    carried = carry_model(found.layout, layout)
    histories = load_sequences(layout).histories("test")
    rows = [histories[user] for user in range(len(histories))]
    users = carried.recommender.project_users(carried.recommender.represent_users(rows, evaluation.batch_size))
    return rank_scorer(layout, DotScorer(users, carried.represent_items()), evaluation, keep=False)


STUDY = Study(
    title="Growth of the catalog",
    question="A model of a smaller catalog, the items that were first seen, on the next larger one without new "
    "training, beside one trained on it. New items then have picture and text but no CF part.",
    paper="catalog growth",
    measure=measure,
    shown=("catalog", "model", "hit@5", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high", "sampled/hit@5"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="model"),
)
