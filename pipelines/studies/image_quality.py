"""What low resolution costs, with pictures alone and with all feature types in retrieval."""

from __future__ import annotations

from typing import Any

from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Study, tabulate

SIDES = (None, 32, 8)
"""Longest side in pixels before encoding; None for the pictures as they are."""
TYPES = {"image": ("image",), "image + CF + text": ("image", "cf", "text")}


def make_cases() -> list[Case]:
    """Return a case per resolution and choice of feature types."""
    cases = []
    for side in SIDES:
        embed: dict[str, Any] = {} if side is None else {"shrunk_side": side}
        quality = "as they are" if side is None else f"{side} pixels"
        for features, kinds in TYPES.items():
            labels = {"pictures": quality, "features": features, "what": f"{features}, {quality}"}
            name = f"{'whole' if side is None else side}-{len(kinds)}"
            cases.append(Case(name, labels, {"features": kinds, "representation": "image"}, embed))
    return cases


STUDY = Study(
    title="Picture quality",
    question="What is lost when pictures are shrunk before they are encoded. They are looked at as large as before.",
    paper="Table 9",
    measure=tabulate(make_cases),
    shown=("pictures", "features", *METRIC_COLUMNS),
    draw=bars("what", "ndcg@10", "NDCG@10, full catalog", colour="pictures"),
)
