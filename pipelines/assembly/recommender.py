"""Where artifacts and parameters become objects of the library: catalog, encoders, features, recommender."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec.data.catalog import Catalog
from illmrec.data.histories import Indices
from illmrec.errors import ModelError
from illmrec.evaluation.knockouts import Knockout, score_title_knockouts
from illmrec.evaluation.protocol import DotScorer
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.backbone import Backbone
from illmrec.models.prompt import PromptForm, PromptTokens, tokenize_prompt
from illmrec.models.recommender import Recommender, TrainedParts
from illmrec.models.sasrec import SasRec
from illmrec.training.checkpoint import read_tensors
from pipelines.assembly.loading import load_backbone, pick_device
from pipelines.parameters.reading import validate_section
from pipelines.parameters.training import TrainConfig
from pipelines.project.shelf import Shelf


def load_sasrec(shelf: Shelf) -> tuple[SasRec, dict[str, Any]]:
    """Open the trained SASRec; return it with what was saved beside its tensors."""
    saved = read_tensors(shelf.require(shelf.layout.cf_model))
    sasrec = SasRec(**saved.state["shape"])
    sasrec.load_state_dict(dict(saved.tensors))
    return sasrec, dict(saved.state)


def load_recommender(shelf: Shelf, model: Path) -> Recommender:
    """Put a trained recommender together from its folder, this data set's features and its backbone.

    Raises:
        ModelError: when the folder is damaged or was trained on another catalog.
    """
    saved = read_tensors(model)
    if saved.state["item_digest"] != shelf.catalog.digest:
        hint = f"Run `illmrec train --dataset {shelf.layout.dataset}`: the catalog has changed."
        raise ModelError("the model was trained on another catalog.", path=model, hint=hint)
    refuse_other_features(shelf, saved.state)
    recommender = build_recommender(shelf, shelf.catalog, read_config(saved.state))
    recommender.load_state(saved.tensors)
    return recommender


def digest_features(shelf: Shelf, config: TrainConfig) -> dict[str, str]:
    """Return the digest of each feature matrix that a model trained so reads."""
    return {kind: shelf.digest(shelf.layout.features(kind) / "values.npy") for kind in list_feature_types(config)}


def refuse_other_features(shelf: Shelf, state: Mapping[str, Any]) -> None:
    """Compare the features a model was trained with to those that are here; models of older versions name none.

    Raises:
        ModelError: when one is another: the model's heads read other rows.
    """
    for kind, needed in state.get("features", {}).items():
        path = shelf.layout.features(kind) / "values.npy"
        if shelf.digest(path) != needed:
            hint = f"Run `illmrec train --dataset {shelf.layout.dataset}` again."
            raise ModelError(f"are not the {kind} features that the model was trained with.", path=path, hint=hint)


def build_recommender(
    shelf: Shelf,
    catalog: Catalog,
    config: TrainConfig,
    seed: Callable[[], None] | None = None,
    device: str | None = None,
    features: Mapping[str, FeatureMatrix] | None = None,
) -> Recommender:
    """Build an untrained recommender.

    ``seed`` is called just before the trained parts, adapters included, draw their first values. ``features`` takes the
    place of the data set's own matrices.
    """
    form = config.make(PromptForm)
    if features is None:
        features = shelf.open_features(*list_feature_types(config))
    if seed is not None:
        seed()
    backbone = load_backbone(shelf, config, device or pick_device())
    prompt = write_prompt(shelf, catalog, backbone, form, features["image"].present)
    if seed is not None:
        seed()
    parts = TrainedParts(
        llm_width=backbone.width,
        slot_width=sum(features[kind].header.width for kind in form.slot_kinds) or None,
        widths={kind: features[kind].header.width for kind in config.features},
        adaptor_hidden=config.adaptor_hidden,
        shared_width=config.shared_width,
        preset=config.preset,
        image_tokens=config.image_tokens,
        type_weights=config.type_weights,
    )
    return Recommender(
        backbone,
        parts,
        prompt,
        features,
        config.history_limit,
        slot_kinds=form.slot_kinds,
        token_budget=config.token_budget,
    )


def write_prompt(
    shelf: Shelf, catalog: Catalog, backbone: Backbone, form: PromptForm, has_image: npt.NDArray[np.bool_]
) -> PromptTokens:
    """Return a catalog's texts as tokens of the language model; ``has_image`` is ``bool [n_items]``."""
    return tokenize_prompt(
        catalog.items,
        has_image,
        backbone.tokenize,
        form,
        begin=backbone.begin_tokens,
        end=backbone.end_tokens,
        summaries=shelf.summaries if form.representation == "summary" else (),
    )


def take_titles_away(
    shelf: Shelf, model: Recommender, histories: Sequence[Indices], items: npt.NDArray[np.float32], batch_size: int
) -> Iterator[tuple[Knockout, DotScorer]]:
    """Yield scorers of the trained model with wrong titles in its prompt; see :func:`score_title_knockouts`."""
    form = read_config(shelf.model_state).make(PromptForm)

    def write(changed: PromptForm) -> PromptTokens:
        return write_prompt(shelf, shelf.catalog, model.backbone, changed, model.features["image"].present)

    return score_title_knockouts(model, form, write, histories, items, batch_size=batch_size)


def list_feature_types(config: TrainConfig) -> tuple[str, ...]:
    """Return the feature types that a model needs: for retrieval, for its slots, and to know who has a picture."""
    return tuple(dict.fromkeys((*config.features, *config.make(PromptForm).slot_kinds, "image")))


def read_config(state: Mapping[str, Any]) -> TrainConfig:
    """Return the section that a saved model was trained with; what an older release did not write has its default.

    Raises:
        ParameterError: when this release does not know a parameter of it.
    """
    return validate_section(TrainConfig, dict(state["settings"]), "train (of the saved model)")
