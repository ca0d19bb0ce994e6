"""The recorded encoders and the language model as objects of the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from illmrec.errors import ModelError
from illmrec.features.encode import hash_text
from illmrec.features.sources import ModelSource, locate_model
from pipelines.project.shelf import Shelf

if TYPE_CHECKING:
    from illmrec.features.image_encoders import ImageEncoder
    from illmrec.features.text_encoders import SentenceEncoder
    from illmrec.models.backbone import Backbone


def pick_device() -> str:
    """Return ``cuda`` where torch sees one, else ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def name_image_cache(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and revision under which the feature cache keeps what the recorded picture encoder made."""
    named = {key: value for key, value in record.items() if key != "training_loss"}
    return f"image {json.dumps(named, sort_keys=True)}", str(record["revision"])


def key_tower_text(text: str) -> str:
    """Return the key of a text that the picture encoder's text tower read; pictures have keys of their own there."""
    return f"text {hash_text(text)}"


def find_encoder(shelf: Shelf, record: Mapping[str, Any]) -> ModelSource:
    """Return where a recorded encoder is.

    Raises:
        ModelError: when its weights are not the recorded ones any more.
    """
    revision = record["revision"]
    if record["folder"]:
        source = locate_model(str(shelf.layout.encoders / record["folder"]), None, root=shelf.layout.root)
    else:
        commit = revision.removeprefix("commit:") if revision.startswith("commit:") else None
        source = locate_model(record["name"], commit, root=shelf.layout.root)
    if source.revision != revision:
        hint = f"Run `illmrec encoders --dataset {shelf.layout.dataset}`, then the stages after it."
        raise ModelError(f"weights are {source.revision}, expected {revision}.", path=source.path, hint=hint)
    return source


def load_image_encoder(shelf: Shelf) -> tuple[ImageEncoder, dict[str, Any]]:
    """Load the picture encoder; return it with its record."""
    from illmrec.features.image_encoders import OpenClipEncoder, TimmEncoder

    record = shelf.read_encoder("image")
    path = find_encoder(shelf, record).path
    if record["source"] == "open_clip":
        return OpenClipEncoder(path, pick_device()), record
    settings = {key: record[key] for key in ("image_size", "mean", "std", "arguments")}
    return TimmEncoder(record["architecture"], path, device=pick_device(), **settings), record


def load_text_encoder(shelf: Shelf) -> tuple[SentenceEncoder, dict[str, Any]]:
    """Load the text encoder; return it with its record."""
    from illmrec.features.text_encoders import SentenceEncoder

    record = shelf.read_encoder("text")
    return SentenceEncoder(find_encoder(shelf, record).path, pick_device()), record


def load_backbone(shelf: Shelf, settings: Mapping[str, Any], device: str) -> Backbone:
    """Load the language model, with what train settings let learn inside it."""
    import torch

    from illmrec.models.backbone import Backbone, Lora

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings["precision"]]
    lora = dict(settings["lora"])
    adapters = Lora(lora["rank"], lora["alpha"], lora["dropout"], tuple(lora["modules"])) if lora["rank"] else None
    return Backbone(
        find_encoder(shelf, shelf.read_encoder("backbone")).path,
        dtype,
        device,
        lora=adapters,
        train_tokens=settings["word_embeddings"] == "trained",
        checkpointing=settings["checkpointing"],
    )
