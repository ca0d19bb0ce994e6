"""Sections of studies and rivals."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from pipelines.parameters.section import Count, Section

RivalName = Literal[
    "popularity",
    "repeat",
    "last-item",
    "item-knn",
    "bpr",
    "vbpr",
    "gru4rec",
    "bert4rec",
    "sasrec",
    "sasrec-gbce",
    "sasrec-ce",
]


class StudyConfig(Section):
    """What studies compare that cannot be known beforehand."""

    key = "study"

    alternatives: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Study `backbones-and-encoders`: a name, and the keys of section `encoders` that differ from it."""


class RivalsConfig(Section):
    """Collaborative filtering to compare with, each tuned with the same number of trials. See docs/rivals.md."""

    key = "rivals"

    models: tuple[RivalName, ...] = Field(default=get_args(RivalName), min_length=1)
    """Which rivals."""
    trials: int = Field(default=20, ge=0)
    """Trainings per rival to find its parameters, judged by full-catalog NDCG@10 on validation targets; the first has
    those of ``start``. 0 takes ``start`` as it is."""
    seeds: Count = 3
    """Trainings with the best parameters, each with a seed of its own; their test ranks are what is reported."""
    start: dict[RivalName, dict[str, int | float]] = Field(default_factory=dict)
    """Parameters of a rival that its tuning starts from, where they differ from those in docs/rivals.md."""
    max_length: int = Field(default=50, ge=2)
    """Most recent items that the sequence models read."""
    batch_size: Count = 256
    """Users per step of the sequence models."""
    pair_batch_size: Count = 2048
    """Pairs of a user and an item per step of BPR and VBPR."""
    epochs: Count = 300
    """Most epochs of a training."""
    patience: Count = 5
    """Validations without improvement before stopping."""
    validate_every: Count = 3
    """Epochs between validations (full-catalog NDCG@10)."""
    seed: int = 0
    """Proposals of the tuning and the trainings it makes; the final trainings have the seeds from this one on."""
