"""Loading what takes seconds and memory: encoders and the language model."""

from __future__ import annotations

from typing import Any

import torch

from illmrec.features.image_encoders import ImageEncoder, OpenClipEncoder, TimmEncoder
from illmrec.features.text_encoders import SentenceEncoder
from illmrec.models.backbone import Backbone, Lora
from pipelines.assembly.encoders import find_encoder
from pipelines.parameters.training import TrainConfig
from pipelines.project.shelf import Shelf


def pick_device() -> str:
    """Return ``cuda`` where torch sees one, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_image_encoder(shelf: Shelf) -> tuple[ImageEncoder, dict[str, Any]]:
    """Load the picture encoder; return it with its record."""
    record = shelf.read_encoder("image")
    path = find_encoder(shelf, record).path
    if record["source"] == "open_clip":
        return OpenClipEncoder(path, pick_device()), record
    settings = {key: record[key] for key in ("image_size", "mean", "std", "arguments")}
    return TimmEncoder(record["architecture"], path, device=pick_device(), **settings), record


def load_text_encoder(shelf: Shelf) -> tuple[SentenceEncoder, dict[str, Any]]:
    """Load the text encoder; return it with its record."""
    record = shelf.read_encoder("text")
    return SentenceEncoder(find_encoder(shelf, record).path, pick_device()), record


def load_backbone(shelf: Shelf, config: TrainConfig, device: str) -> Backbone:
    """Load the language model as it is recorded, with what the section lets learn inside it."""
    record = shelf.read_encoder("backbone")
    return Backbone(
        find_encoder(shelf, record).path,
        {"fp32": torch.float32, "bf16": torch.bfloat16}[config.precision],
        device,
        layers=record.get("layers"),
        random_seed=record.get("random_seed"),
        lora=config.lora.make(Lora) if config.lora.rank else None,
        word_embeddings=config.word_embeddings,
        checkpointing=config.checkpointing,
    )
