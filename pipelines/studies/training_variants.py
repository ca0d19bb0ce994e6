"""What each departure from the paper's training buys, one at a time and together."""

from __future__ import annotations

from typing import Any

from pipelines.parameters.training import TrainConfig
from pipelines.studies.cases import Case
from pipelines.studies.overall import METRIC_COLUMNS
from pipelines.studies.plots import bars
from pipelines.studies.study import Study, tabulate

SET_BY_THE_FILE = frozenset(
    (
        *("shared_width", "adaptor_hidden", "description_tokens", "token_budget", "missing_image"),
        *("pass_tokens", "checkpointing", "shard_backbone", "checkpoint_steps", "precision", "seed"),
        *("epochs", "validate_every", "validation_users", "patience"),
    )
)
"""Sizes and bounds, which all variants have from the parameters file."""
PAPER = {name: value for name, value in TrainConfig().model_dump().items() if name not in SET_BY_THE_FILE}
"""The paper's model and training, whatever the parameters file says: the defaults of section ``train``."""

FALLING = {"learning_rate": 3e-4, "warmup_share": 0.1, "schedule": "linear"}
EVERY = {**PAPER, "supervision": "every", "instruction": "before_history"}
SHARED = {"retrieval_scores": "sum", "negatives": 256, "negative_sharing": "step"}
ALONE = {"title_tokens": 0, "item_marks": "none"}
"""An item is one token: its slot."""
LARGE_BATCH = {"batch_size": 128, "learning_rate": 2e-3}
ADAPTERS = {
    "rank": 64,
    "alpha": 64,
    "dropout": 0.2,
    "modules": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
}
"""In every layer of a Llama."""
CATALOG = {**EVERY, **FALLING, "retrieval_loss": "cross_entropy", "retrieval_scores": "sum"}
LONGER_BOTH = {**CATALOG, **ALONE, "history_limit": 50, "representation": "image+cf"}

VARIANTS: dict[str, dict[str, Any]] = {
    "as-set": {},
    "paper": PAPER,
    "every": EVERY,
    "every-falling-rate": {**EVERY, **FALLING},
    "softmax-shared": {**EVERY, **FALLING, **SHARED, "retrieval_loss": "softmax"},
    "gbce-shared": {**EVERY, **FALLING, **SHARED, "retrieval_loss": "gbce"},
    "catalog-each-type": {**CATALOG, "retrieval_scores": "each_type"},
    "catalog": CATALOG,
    "catalog-constant-rate": {**CATALOG, "learning_rate": 1e-3, "warmup_share": 0.0, "schedule": "constant"},
    "catalog-learned-weights": {**CATALOG, "type_weights": "learned"},
    "catalog-no-alignment": {**CATALOG, "alignment_weight": 0.0},
    "catalog-no-titles": {**CATALOG, "title_tokens": 0},
    "catalog-short-titles": {**CATALOG, "title_tokens": 4},
    "catalog-two-image-tokens": {**CATALOG, "image_tokens": 2},
    "catalog-image-dropout": {**CATALOG, "image_dropout": 0.2},
    "catalog-taste-token": {**CATALOG, "representation": "cf"},
    "catalog-image-and-taste": {**CATALOG, "representation": "image+cf"},
    "catalog-lora": {**CATALOG, "lora": {"rank": 8}},
    "catalog-slots-alone": {**CATALOG, **ALONE},
    "catalog-longer-history": {**CATALOG, **ALONE, "history_limit": 50},
    "catalog-longer-taste": {**CATALOG, **ALONE, "history_limit": 50, "representation": "cf"},
    "catalog-longer-both": LONGER_BOTH,
    "catalog-longer-both-centred": {**LONGER_BOTH, "centre_features": True},
    "catalog-longer-both-large-batch": {**LONGER_BOTH, **LARGE_BATCH},
    "catalog-longer-both-dropout": {**LONGER_BOTH, **LARGE_BATCH, "dropout": 0.2},
    "catalog-longer-both-lora": {**LONGER_BOTH, **LARGE_BATCH, "dropout": 0.2, "lora": ADAPTERS},
}
"""Name -> keys of section ``train``; what a variant does not name is the parameters file's."""


def make_cases() -> list[Case]:
    """Return a case per variant."""
    return [Case(name=name, labels={"variant": name}, train=changes) for name, changes in VARIANTS.items()]


STUDY = Study(
    title="Variants of training",
    question="What each departure from the paper's training buys, one at a time and together; see docs/training.md. "
    "Choose by the validation targets, which the picture shows: a choice among so many rows by their test figures "
    "would make the best one look better than it is.",
    paper="",
    measure=tabulate(make_cases),
    shown=("variant", *METRIC_COLUMNS, "best_epoch", "tokens_per_item", "seconds"),
    draw=bars("variant", "validation_ndcg@10", "NDCG@10 on validation targets, full catalog"),
)
