"""Where artifacts and parameters become objects of the library: catalog, encoders, features, recommender."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from illmrec import atomic
from illmrec.columns import ITEM_ID, ITEMS, NEGATIVES, SEQUENCES, SUMMARIES
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, Sequences, ragged_from_column, read_sequences
from illmrec.errors import ModelError
from illmrec.features.encode import hash_text
from illmrec.features.matrix import FeatureMatrix, open_matrix
from illmrec.features.sources import ModelSource, locate_model
from pipelines.artifacts import read_object, read_table
from pipelines.layout import Layout, require

if TYPE_CHECKING:
    from illmrec.features.image_encoders import ImageEncoder
    from illmrec.features.text_encoders import SentenceEncoder
    from illmrec.models.backbone import Backbone
    from illmrec.models.prompt import PromptForm
    from illmrec.models.recommender import Recommender
    from illmrec.models.sasrec import SasRec

ENCODERS_FILE = "encoders.json"
MAKERS = {"image": "embed-images", "text": "embed-text", "cf": "train-cf"}
"""Feature type -> command that makes its matrix."""


def pick_device() -> str:
    """Return ``cuda`` where torch sees one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_catalog(layout: Layout) -> Catalog:
    """Open the items table of ``prepare``."""
    return Catalog(read_table(layout.prepared / "items.parquet", f"prepare --dataset {layout.dataset}", ITEMS))


def load_sequences(layout: Layout) -> Sequences:
    """Open the leave-one-out split."""
    path = layout.split / "sequences.parquet"
    return read_sequences(read_table(path, f"split --dataset {layout.dataset}", SEQUENCES))


def load_negatives(layout: Layout) -> Ragged:
    """Open the sampled candidates; row = user_index."""
    path = layout.split / "negatives.parquet"
    return ragged_from_column(read_table(path, f"split --dataset {layout.dataset}", NEGATIVES)["negatives"])


def load_features(layout: Layout, catalog: Catalog, kinds: tuple[str, ...]) -> dict[str, FeatureMatrix]:
    """Map the feature matrices of some types into memory."""
    folders = {k: require(layout.features(k), f"{MAKERS[k]} --dataset {layout.dataset}") for k in kinds}
    return {kind: open_matrix(folder, catalog.digest) for kind, folder in folders.items()}


def read_encoder(layout: Layout, role: str) -> dict[str, Any]:
    """Return what ``encoders`` recorded of one role: image, text or backbone."""
    path, command = layout.encoders / ENCODERS_FILE, f"encoders --dataset {layout.dataset}"
    record = read_object(path, command, (role,), ModelError)[role]
    lacking = [key for key in ("name", "revision", "folder") if key not in (record or {})]
    if record is not None and lacking:
        hint = f"Run `illmrec {command}` again."
        raise ModelError(f"the record of the {role} encoder lacks {', '.join(lacking)}.", path=path, hint=hint)
    found: dict[str, Any] = record
    return found


def name_image_cache(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and revision under which the feature cache keeps what the recorded picture encoder made."""
    named = {key: value for key, value in record.items() if key != "training_loss"}
    return f"image {json.dumps(named, sort_keys=True)}", str(record["revision"])


def key_tower_text(text: str) -> str:
    """Return the key of a text that the picture encoder's text tower read; pictures have keys of their own there."""
    return f"text {hash_text(text)}"


def find_encoder(layout: Layout, record: Mapping[str, Any]) -> ModelSource:
    """Return where a recorded encoder is.

    Raises:
        ModelError: when its weights are not the recorded ones any more.
    """
    revision = record["revision"]
    if record["folder"]:
        source = locate_model(str(layout.encoders / record["folder"]), None, root=layout.root)
    else:
        commit = revision.removeprefix("commit:") if revision.startswith("commit:") else None
        source = locate_model(record["name"], commit, root=layout.root)
    if source.revision != revision:
        hint = f"Run `illmrec encoders --dataset {layout.dataset}`, then the stages after it."
        raise ModelError(f"weights are {source.revision}, expected {revision}.", path=source.path, hint=hint)
    return source


def load_image_encoder(layout: Layout) -> tuple[ImageEncoder, dict[str, Any]]:
    """Load the picture encoder; return it with its record."""
    from illmrec.features.image_encoders import OpenClipEncoder, TimmEncoder

    record = read_encoder(layout, "image")
    path = find_encoder(layout, record).path
    if record["source"] == "open_clip":
        return OpenClipEncoder(path, pick_device()), record
    settings = {key: record[key] for key in ("image_size", "mean", "std", "arguments")}
    return TimmEncoder(record["architecture"], path, device=pick_device(), **settings), record


def load_text_encoder(layout: Layout) -> tuple[SentenceEncoder, dict[str, Any]]:
    """Load the text encoder; return it with its record."""
    from illmrec.features.text_encoders import SentenceEncoder

    record = read_encoder(layout, "text")
    return SentenceEncoder(find_encoder(layout, record).path, pick_device()), record


def load_backbone(layout: Layout, settings: Mapping[str, Any], device: str) -> Backbone:
    """Load the language model, with what train settings let learn inside it."""
    import torch

    from illmrec.models.backbone import Backbone, Lora

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings["precision"]]
    lora = dict(settings["lora"])
    adapters = Lora(lora["rank"], lora["alpha"], lora["dropout"], tuple(lora["modules"])) if lora["rank"] else None
    return Backbone(
        find_encoder(layout, read_encoder(layout, "backbone")).path,
        dtype,
        device,
        lora=adapters,
        train_tokens=settings["word_embeddings"] == "trained",
        checkpointing=settings["checkpointing"],
    )


def load_sasrec(layout: Layout) -> tuple[SasRec, dict[str, Any]]:
    """Open the trained SASRec; return it with what was saved beside its tensors."""
    from illmrec.models.sasrec import SasRec
    from illmrec.training.checkpoint import read_tensors

    saved = read_tensors(require(layout.cf_model, f"train-cf --dataset {layout.dataset}"))
    sasrec = SasRec(**saved.state["shape"])
    sasrec.load_state_dict(dict(saved.tensors))
    return sasrec, dict(saved.state)


def load_summaries(layout: Layout, catalog: Catalog) -> list[str]:
    """Return the summary of every item, in index order."""
    path = layout.summaries / "summaries.parquet"
    table = read_table(path, f"summarize --dataset {layout.dataset}", SUMMARIES)
    if table[ITEM_ID].to_list() != list(catalog.item_ids):
        hint = f"Run `illmrec summarize --dataset {layout.dataset}`: the catalog has changed."
        raise ModelError("the summaries are of another catalog.", path=path, hint=hint)
    return table["summary"].to_list()


def load_recommender(layout: Layout, model: Path) -> Recommender:
    """Put a trained recommender together from its folder, this data set's features and its backbone.

    Raises:
        ModelError: when the folder is damaged or was trained on another catalog.
    """
    from illmrec.training.checkpoint import read_tensors

    saved = read_tensors(model)
    catalog = load_catalog(layout)
    if saved.state["item_digest"] != catalog.digest:
        hint = f"Run `illmrec train --dataset {layout.dataset}`: the catalog has changed."
        raise ModelError("the model was trained on another catalog.", path=model, hint=hint)
    refuse_other_features(layout, saved.state)
    recommender = build_recommender(layout, catalog, saved.state["settings"])
    recommender.load_state(saved.tensors)
    return recommender


def digest_features(layout: Layout, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of each feature matrix that a model with these settings reads."""
    return {kind: atomic.digest_file(layout.features(kind) / "values.npy") for kind in list_feature_types(settings)}


def refuse_other_features(layout: Layout, state: Mapping[str, Any]) -> None:
    """Compare the features a model was trained with to those that are here; models of older versions name none.

    Raises:
        ModelError: when one is another: the model's heads read other rows.
    """
    for kind, needed in state.get("features", {}).items():
        path = layout.features(kind) / "values.npy"
        if atomic.digest_file(path) != needed:
            hint = f"Run `illmrec train --dataset {layout.dataset}` again."
            raise ModelError(f"are not the {kind} features that the model was trained with.", path=path, hint=hint)


def build_recommender(
    layout: Layout,
    catalog: Catalog,
    settings: Mapping[str, Any],
    seed: Callable[[], None] | None = None,
    device: str | None = None,
    features: Mapping[str, FeatureMatrix] | None = None,
) -> Recommender:
    """Build an untrained recommender from train settings (:class:`illmrec.config.TrainConfig` as JSON values).

    ``seed`` is called just before the trained parts, adapters included, draw their first values. ``features`` takes the
    place of the data set's own matrices.
    """
    from illmrec.models.prompt import tokenize_prompt
    from illmrec.models.recommender import Recommender, TrainedParts

    form = read_form(settings)
    kinds = tuple(settings["features"])
    if features is None:
        features = load_features(layout, catalog, list_feature_types(settings))
    if seed is not None:
        seed()
    backbone = load_backbone(layout, settings, device or pick_device())
    prompt = tokenize_prompt(
        catalog.items,
        features["image"].present,
        backbone.tokenize,
        form,
        begin=backbone.begin_tokens,
        end=backbone.end_tokens,
        summaries=load_summaries(layout, catalog) if form.representation == "summary" else (),
    )
    if seed is not None:
        seed()
    parts = TrainedParts(
        llm_width=backbone.width,
        slot_width=sum(features[kind].header.width for kind in form.slot_kinds) or None,
        widths={kind: features[kind].header.width for kind in kinds},
        adaptor_hidden=settings["adaptor_hidden"],
        shared_width=settings["shared_width"],
        preset=settings["preset"],
        slots=form.slots,
        learned_weights=settings["type_weights"] == "learned",
    )
    return Recommender(
        backbone,
        parts,
        prompt,
        features,
        settings["history_limit"],
        slot_kinds=form.slot_kinds,
        token_budget=settings["token_budget"],
    )


def list_feature_types(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the feature types that a model needs: for retrieval, for its slots, and to know who has a picture."""
    return tuple(dict.fromkeys((*settings["features"], *read_form(settings).slot_kinds, "image")))


def read_form(settings: Mapping[str, Any]) -> PromptForm:
    """Return how train settings write a prompt."""
    from illmrec.models.prompt import PromptForm

    return PromptForm(
        representation=settings["representation"],
        title_tokens=settings["title_tokens"],
        marks=settings["item_marks"] == "words",
        description_tokens=settings["description_tokens"],
        missing_image=settings["missing_image"],
        slots=settings["image_tokens"],
        instruction_first=settings["instruction"] == "before_history",
        layout=settings["alignment_prompt"],
    )
