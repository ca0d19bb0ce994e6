"""Models of a catalog at several sizes, each on its own catalog and on the next larger one without new training."""

from __future__ import annotations

from dataclasses import replace

from illmrec import atomic
from illmrec.errors import DataError
from illmrec.evaluation.protocol import DotScorer
from illmrec.progress import announce
from pipelines.assembly.contest import load_material
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.carried import CarriedModel, load_recommender_on_catalog
from pipelines.registry.trained_items import TRAINED_ITEMS_FILE, build_trained_items
from pipelines.registry.version import Version
from pipelines.registry.version_files import VersionFiles
from pipelines.studies.cases import Case, CaseResult, rank_scorer, run_case
from pipelines.studies.plots import bars
from pipelines.studies.smaller_catalog import open_smaller
from pipelines.studies.study import Bench, Row, Study

SHARES = (0.25, 0.5, 0.75, 1.0)


def measure(bench: Bench) -> list[Row]:
    """Train at every size; rank by each model on its own catalog and by the one before it, which knows no new item.

    Sizes of which the k-core leaves nothing are left out, and named.

    Raises:
        DataError: when that is all of them.
    """
    chosen = bench.choose(Case(f"{round(100 * share):03d}", {"share": share}) for share in SHARES)
    rows: list[Row] = []
    before: CaseResult | None = None
    for case in chosen:
        share = float(case.labels["share"])
        try:
            layout = open_smaller(bench.context, share)
        except DataError as error:
            announce(f"{case.name}: left out: {error}")
            continue
        if before is not None:
            rows.append(
                _describe(before, share, "trained before the growth") | _rank_stale(bench, before, Shelf(layout))
            )
        before = run_case(replace(bench.context, layout=layout), case, bench.extra)
        rows.append(_describe(before, share, "trained on this catalog") | dict(before.columns))
    if not rows:
        raise DataError("no size of the catalog leaves anything to learn from.", hint="Lower prepare.user_core.")
    return rows


def _describe(result: CaseResult, share: float, what: str) -> Row:
    trained = float(result.case.labels["share"])
    return {
        "catalog": share,
        "model": what,
        "what": f"{share:.0%} of the catalog, trained on {trained:.0%}",
        "trained_on": trained,
        "run": result.columns["run"],
    }


def _rank_stale(bench: Bench, result: CaseResult, larger: Shelf) -> dict[str, float]:
    """Rank a larger catalog's test targets by a smaller one's model; new items have no CF part."""
    evaluation = bench.context.section(EvaluateConfig)
    carried = _carry(result.layout, larger)
    model = carried.recommender
    users = model.project_users(model.represent_users(load_material(larger).histories, evaluation.batch_size))
    return rank_scorer(larger, DotScorer(users, carried.represent_items()), evaluation, keep=False)


def _carry(trained: Layout, larger: Shelf) -> CarriedModel:
    """Put the model of one project on the catalog of another, as a registered version would be."""
    with atomic.write_file(trained.model / TRAINED_ITEMS_FILE) as file:
        file.write(build_trained_items(Shelf(trained)))
    files = VersionFiles(Version(trained.dataset, "of a study", "", {}), trained.model)
    return load_recommender_on_catalog(larger, files)


STUDY = Study(
    title="Growth of the catalog",
    question="A model of a smaller catalog, the items that were first seen, on the next larger one without new "
    "training, beside one trained on it. New items then have picture and text but no CF part.",
    paper="catalog growth",
    measure=measure,
    shown=("catalog", "model", "hit@5", "hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high", "sampled/hit@5"),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="model"),
    seeded=False,
)
