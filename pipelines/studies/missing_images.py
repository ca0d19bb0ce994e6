"""What missing pictures cost, by how many are missing and what stands in for them (paper, E.8 and table 7)."""

from __future__ import annotations

from pipelines.studies.cases import Case

TITLE = "Missing pictures"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
POLICIES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "description": ({}, {"missing_image": "description"}),
    "zero": ({"missing": "zero"}, {"missing_image": "feature"}),
    "mean": ({"missing": "mean"}, {"missing_image": "feature"}),
    "drop": ({}, {"missing_image": "drop"}),
}
"""Policy -> changes of ``embed_images``, which fill the feature for retrieval, and of ``train``, for the prompt.
``description`` and ``drop`` fill the feature as the data set's own parameters say."""


def list_cases() -> list[Case]:
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
