"""The list of studies: name on the command line, and where each is written."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.studies.study import Study

STUDIES = {
    "overall": "pipelines.studies.overall",
    "rivals": "pipelines.studies.tuned_rivals",
    "cost-and-quality": "pipelines.studies.cost_and_quality",
    "language-knockouts": "pipelines.studies.language_knockouts",
    "ablation": "pipelines.studies.ablation",
    "lora": "pipelines.studies.lora",
    "visual-centric": "pipelines.studies.visual_centric",
    "missing-images": "pipelines.studies.missing_images",
    "image-quality": "pipelines.studies.image_quality",
    "training-strategy": "pipelines.studies.training_strategy",
    "backbones-and-encoders": "pipelines.studies.backbones_and_encoders",
    "similarity": "pipelines.studies.similarity",
    "inference-time": "pipelines.studies.inference_time",
    "context-budget": "pipelines.studies.context_budget",
    "summaries": "pipelines.studies.summaries",
    "item-popularity": "pipelines.studies.slices:POPULARITY",
    "history-length": "pipelines.studies.slices:LENGTH",
    "unseen-items": "pipelines.studies.slices:UNSEEN",
    "catalog-growth": "pipelines.studies.catalog_growth",
    "helpful-pictures": "pipelines.studies.helpful_pictures",
    "training-variants": "pipelines.studies.training_variants",
}
"""Name -> module, which holds the study as ``STUDY`` or under the name behind the colon."""


def list_study_verbs() -> dict[str, tuple[str, ...]]:
    """Return what does the work of every study, by the name of the file that says what code it reaches."""
    places = {name: place.partition(":") for name, place in STUDIES.items()}
    return {f"study-{name}": (f"{module}:{attribute or 'STUDY'}",) for name, (module, _, attribute) in places.items()}


def load_study(name: str) -> Study:
    """Return a study by its name."""
    module, _, attribute = STUDIES[name].partition(":")
    study: Study = getattr(importlib.import_module(module), attribute or "STUDY")
    return study
