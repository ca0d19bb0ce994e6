"""Collaborative filtering, each rival tuned on validation with the same number of trials, on the same test targets."""

from __future__ import annotations

from typing import Any, get_args

from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.studies.cases import Case
from pipelines.studies.plots import bars
from pipelines.studies.rivals.comparison import METRICS, compare_rivals
from pipelines.studies.study import Bench, Row, Study

COLUMNS = frozenset(f"{metric}{end}" for metric in METRICS for end in ("", ".low", ".high", ".sd"))
"""What a rival's row says of the test targets."""


def measure(bench: Bench) -> list[Row]:
    """Tune, train and rank by the rivals of section ``rivals`` that are wanted; what is there is not done again.

    Changes of section ``train`` do not touch them.
    """
    config = bench.context.section(RivalsConfig)
    wanted = {case.name for case in bench.choose(Case(name, {}) for name in get_args(RivalName))}
    chosen = config.model_copy(update={"models": tuple(name for name in config.models if name in wanted)})
    facts = compare_rivals(bench.layout, chosen, bench.context.section(EvaluateConfig))
    published = (facts["published"] or {"rivals": {}})["rivals"]
    return [
        _make_row(row, published.get(row["rival"], {})) for row in facts["summary"] if row["rival"] in chosen.models
    ]


def _make_row(row: dict[str, Any], published: dict[str, float]) -> Row:
    measured = {key: value for key, value in row.items() if key in COLUMNS}
    known = {f"published {metric}": value for metric, value in published.items()}
    facts = {key: row[key] for key in ("seeds", "trials", "parameters", "seconds", "tuning_seconds")}
    return {"case": row["rival"], "model": row["title"], **measured, **known, **facts}


STUDY = Study(
    title="Rivals",
    question="Collaborative filtering, each tuned on validation with the same number of trials, on the targets that "
    "the language models are ranked on. Means over seeds; intervals are over users.",
    paper="the first rows of table 1",
    measure=measure,
    shown=(
        "model",
        *METRICS,
        "ndcg@10.low",
        "ndcg@10.high",
        "ndcg@10.sd",
        *(f"published {metric}" for metric in METRICS),
        "seeds",
        "trials",
        "seconds",
    ),
    draw=bars("model", "ndcg@10", "NDCG@10, full catalog"),
    seeded=False,
    trains=False,
)
