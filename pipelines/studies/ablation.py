"""What each part of the model adds: alignment (RISA), and the feature types of retrieval (RERI)."""

from __future__ import annotations

from typing import Any

from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Study, tabulate


def make_case(features: tuple[str, ...], *, alignment: bool = True) -> Case:
    """Return the case of some feature types in retrieval, with or without alignment; the prompt has pictures."""
    name = "+".join(features) + ("" if alignment else "-unaligned")
    changes: dict[str, Any] = {"features": features, "representation": "image", "alignment_weight": float(alignment)}
    if not alignment:
        changes["alignment_epochs"] = 0
    label = " + ".join({"cf": "CF"}.get(feature, feature) for feature in features)
    return Case(name, {"parts": f"{label}{' + alignment' if alignment else ''}", "alignment": alignment}, changes)


def make_cases() -> list[Case]:
    """Return a case per combination."""
    return [
        make_case(("image",), alignment=False),
        make_case(("image",)),
        make_case(("cf",)),
        make_case(("text",)),
        make_case(("image", "cf")),
        make_case(("image", "cf", "text"), alignment=False),
        make_case(("image", "cf", "text")),
    ]


STUDY = Study(
    title="Ablation",
    question="What alignment and each feature type of retrieval add. The prompt has pictures in all of them.",
    paper="Table 2",
    measure=tabulate(make_cases),
    shown=("parts", *METRIC_COLUMNS, "seconds"),
    draw=bars("parts", "ndcg@10", "NDCG@10, full catalog"),
)
