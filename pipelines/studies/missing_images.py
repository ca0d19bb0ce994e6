"""What missing pictures cost, by how many are missing and what stands in for them (paper, E.8)."""

from __future__ import annotations

from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import lines
from pipelines.studies.study import Study, tabulate

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
POLICIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "description": ({}, {"missing_image": "description"}),
    "zero": ({"missing": "zero"}, {"missing_image": "feature"}),
    "mean": ({"missing": "mean"}, {"missing_image": "feature"}),
    "drop": ({}, {"missing_image": "drop"}),
}
"""Policy -> changes of ``embed_images``, which fill the feature for retrieval, and of ``train``, for the prompt.
``description`` and ``drop`` fill the feature as the data set's own parameters say."""


def make_cases() -> list[Case]:
    """Return a case per share and policy; without hidden pictures the policies only concern what is missing anyway."""
    return [
        Case(
            name=f"{policy}-{round(100 * share):03d}",
            labels={"policy": policy, "hidden_share": share},
            train=train,
            embed_images={"hidden_share": share, **embed},
        )
        for share in SHARES
        for policy, (embed, train) in POLICIES.items()
    ]


STUDY = Study(
    title="Missing pictures",
    question="What hiding a share of the pictures costs, by what stands in for them.",
    paper="Table 8",
    measure=tabulate(make_cases),
    shown=("policy", "hidden_share", "missing_images", *METRIC_COLUMNS),
    draw=lines("hidden_share", "ndcg@10", "policy", "share of pictures hidden", "NDCG@10, full catalog"),
)
