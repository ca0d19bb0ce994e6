"""Which encoders a data set has, and what the feature cache calls what they made; loads none of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from illmrec.errors import ModelError
from illmrec.features.encode import hash_text
from illmrec.features.sources import ModelSource, locate_model
from pipelines.project.shelf import Shelf


def name_image_cache(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name and revision under which the feature cache keeps what the recorded picture encoder made."""
    named = {key: value for key, value in record.items() if key != "training_loss"}
    return f"image {json.dumps(named, sort_keys=True)}", str(record["revision"])


def identify_encoder(record: Mapping[str, Any]) -> str:
    """Return what tells a recorded encoder from every other: its weights' revision, and how much of them is read."""
    return f"{record['revision']}{_describe_use(record)}"


def name_encoder(record: Mapping[str, Any]) -> str:
    """Return what people call a recorded encoder: its package or its name, and how much of it is read."""
    return f"{record.get('package') or record.get('name', 'unknown')}{_describe_use(record)}"


def _describe_use(record: Mapping[str, Any]) -> str:
    count = record.get("layers")
    layers = "" if not count else ", first layer" if count == 1 else f", first {count} layers"
    drawn = f", weights drawn anew with seed {record['random_seed']}" if record.get("random_seed") is not None else ""
    return layers + drawn


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
