"""What each departure from the paper's training buys, one at a time and together."""

from __future__ import annotations

from typing import Any

from pipelines.studies.cases import Case

TITLE = "Variants of training"
CATALOG = {"retrieval_loss": "cross_entropy", "retrieval_scores": "sum"}
VARIANTS: dict[str, dict[str, Any]] = {
    "as-set": {},
    "softmax-shared": {
        "retrieval_loss": "softmax",
        "retrieval_scores": "sum",
        "negatives": 256,
        "negative_sharing": "step",
    },
    "gbce-shared": {"retrieval_loss": "gbce", "retrieval_scores": "sum", "negatives": 256, "negative_sharing": "step"},
    "catalog-each-type": {"retrieval_loss": "cross_entropy"},
    "catalog": CATALOG,
    "catalog-learned-weights": {**CATALOG, "type_weights": "learned"},
    "catalog-no-alignment": {**CATALOG, "alignment_weight": 0.0},
    "catalog-no-titles": {**CATALOG, "title_tokens": 0},
    "catalog-short-titles": {**CATALOG, "title_tokens": 4},
    "catalog-two-image-tokens": {**CATALOG, "image_tokens": 2},
    "catalog-image-dropout": {**CATALOG, "image_dropout": 0.2},
    "catalog-taste-token": {**CATALOG, "representation": "cf"},
    "catalog-lora": {**CATALOG, "lora": {"rank": 8}},
    "catalog-longer-history": {**CATALOG, "title_tokens": 0, "history_limit": 30},
}
"""Name -> changed keys of section ``train``, beside those the parameters file sets."""


def list_cases() -> list[Case]:
    """Return a case per variant."""
    return [Case(name=name, labels={"variant": name}, train=changes) for name, changes in VARIANTS.items()]
