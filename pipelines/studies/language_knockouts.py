"""What the pretrained language model is worth: its knowledge, and the titles that it understands."""

from __future__ import annotations

from pipelines.assembly.contest import load_material
from pipelines.assembly.recommender import load_recommender, take_titles_away
from pipelines.parameters.training import EvaluateConfig
from pipelines.studies.cases import Case, CaseResult, rank_scorer
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study

AS_SET = "as-set"
CASES = (
    Case(AS_SET, {"language": "as set"}),
    Case("random", {"language": "weights drawn anew"}, encoders={"backbone": {"weights": "random"}}),
    Case("shuffled", {"language": "titles shuffled"}, train={"titles": "shuffled"}),
    Case("left-out", {"language": "titles left out"}, train={"title_tokens": 0}),
)
"""Each is trained from scratch."""


def measure(bench: Bench) -> list[Row]:
    """Train and rank each case; rank also by the first one with its titles taken away after training."""
    results = bench.run(CASES)
    rows = [result.row for result in results]
    for result in results:
        if result.case.name == AS_SET:
            rows += rank_without_titles(result, bench.context.section(EvaluateConfig))
    return rows


def rank_without_titles(result: CaseResult, evaluation: EvaluateConfig) -> list[Row]:
    """Return a row for each way to take the titles of a trained model away; none where it has none."""
    shelf = result.shelf
    model = load_recommender(shelf, shelf.layout.model)
    scorers = take_titles_away(
        shelf, model, load_material(shelf).histories, model.represent_items(), evaluation.batch_size
    )
    rows: list[Row] = []
    for knockout, scorer in scorers:
        name = f"titles {knockout.wrong} after training"
        ranked = rank_scorer(shelf, scorer, evaluation, keep=False)
        rows.append({"case": name.replace(" ", "-"), "language": name} | ranked)
    return rows


STUDY = Study(
    title="Is the language model used?",
    question="The same architecture with a language model that knows nothing, with every title another item's, and "
    "without titles: trained so; for titles also taken away from the model that was trained with them.",
    paper="",
    measure=measure,
    shown=("language", *METRIC_COLUMNS, "seconds"),
    draw=bars("language", "ndcg@10", "NDCG@10, full catalog"),
    seeded=False,
)
