"""Other language models and other picture encoders."""

from __future__ import annotations

from illmrec.errors import ParameterError
from pipelines.assembly.encoders import name_encoder
from pipelines.parameters.studies import StudyConfig
from pipelines.project.shelf import Shelf
from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Bench, Row, Study


def make_cases(study: StudyConfig) -> list[Case]:
    """Return a case per alternative that the parameters name, and the encoders as set.

    Raises:
        ParameterError: when models are trained on the spot but the parameters name none to compare with.
    """
    cases = [Case("as-set", {"models": "as set"})]
    for name, changes in study.alternatives.items():
        cases.append(Case(name, {"models": name}, encoders=changes))
    if len(cases) == 1:
        hint = "List them in study.alternatives: a name, and the keys of section `encoders` that differ."
        raise ParameterError("the parameters name no other encoders to compare with.", hint=hint)
    return cases


def measure(bench: Bench) -> list[Row]:
    """Make each alternative's encoders and features, train and rank."""
    results = bench.run(make_cases(bench.context.section(StudyConfig)))
    return [result.row | _name_encoders(result.shelf) for result in results]


def _name_encoders(shelf: Shelf) -> Row:
    return {role: name_encoder(shelf.read_encoder(role)) for role in ("backbone", "image")}


STUDY = Study(
    title="Language models and picture encoders",
    question="The same training with another language model or another picture encoder.",
    paper="Table 11",
    measure=measure,
    shown=("models", "backbone", "image", *METRIC_COLUMNS, "seconds"),
    draw=bars("models", "ndcg@10", "NDCG@10, full catalog"),
    seeded=False,
)
