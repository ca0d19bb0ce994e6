"""Stage ``encoders``: locate pretrained models, or train small ones where none can be downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.errors import MissingArtifactError, ModelError, ParameterError
from illmrec.features.sources import locate_model
from illmrec.progress import track
from illmrec.training.image_text import ImageTextSettings, train_image_text
from illmrec.training.language import LanguageSettings, train_language, train_tokenizer
from pipelines.assembly.pictures import list_readable_pictures
from pipelines.parameters.features import BackboneConfig, EncodersConfig, ImageEncoderConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages import stage

MAX_TRAINING_PICTURES = 20_000
"""Pictures held in memory while the small image-text model is trained."""


@stage("encoders")
def run(context: Context) -> dict[str, dict[str, Any]]:
    """Locate or train the encoders of the data set; return a record of each role."""
    return make_encoders(context.shelf, context.section(EncodersConfig))


def make_encoders(shelf: Shelf, config: EncodersConfig) -> dict[str, dict[str, Any]]:
    """Locate or train the encoders; publish their folder and return a record of each role."""
    with atomic.write_folder(shelf.layout.encoders) as folder:
        records = _resolve(shelf, config, folder)
        atomic.write_json(folder / "encoders.json", records)
    return records


def _resolve(shelf: Shelf, config: EncodersConfig, folder: Path) -> dict[str, dict[str, Any]]:
    losses: dict[str, list[float]] = {}
    if "train" in (config.image.source, config.backbone.source):
        losses = _train_small(shelf, config, folder)
    text = locate_model(
        config.text.name, config.text.revision, root=shelf.layout.root, allow_network=config.allow_network
    )
    records = {
        "image": _resolve_image(shelf, config.image, folder, config.allow_network),
        "backbone": resolve_backbone(shelf, config, folder),
        "text": {"name": config.text.name, "revision": text.revision, "folder": None},
    }
    for role, curve in losses.items():
        records[role]["training_loss"] = {"first": curve[0], "last": curve[-1], "steps": len(curve)}
    return records


def _resolve_image(shelf: Shelf, config: ImageEncoderConfig, folder: Path, allow_network: bool) -> dict[str, Any]:
    if config.source == "train":
        revision = f"sha256:{atomic.digest_folder(folder / 'image')}"
        return {"source": "open_clip", "name": "small image-text model", "revision": revision, "folder": "image"}
    if config.source == "open_clip":
        located = locate_model(config.name, config.revision, root=shelf.layout.root, allow_network=allow_network)
        return {"source": "open_clip", "name": config.name, "revision": located.revision, "folder": None}
    if config.weights is None:
        raise ParameterError("encoders.image.weights is missing.", hint="Name the safetensors file of the timm model.")
    located = locate_model(config.weights, None, root=shelf.layout.root)
    settings = config.model_dump(mode="json", include={"image_size", "mean", "std", "arguments"})
    about = {"source": "timm", "name": config.weights, "revision": located.revision, "folder": None}
    return about | settings | {"architecture": config.name}


def resolve_backbone(shelf: Shelf, config: EncodersConfig, folder: Path) -> dict[str, Any]:
    """Return the record of the language model, which may have been trained into ``folder``.

    Raises:
        MissingArtifactError: when its package was not fetched.
        ModelError: when it is not there, or of another version.
    """
    chosen = config.backbone
    record = _locate_backbone(shelf, config, folder)
    if chosen.layers is not None:
        record["layers"] = chosen.layers
    if chosen.weights == "random":
        record["random_seed"] = config.seed
    return record


def _locate_backbone(shelf: Shelf, config: EncodersConfig, folder: Path) -> dict[str, Any]:
    chosen, root = config.backbone, shelf.layout.root
    if chosen.source == "train":
        revision = f"sha256:{atomic.digest_folder(folder / 'backbone')}"
        return {"name": "small language model", "revision": revision, "folder": "backbone"}
    if chosen.source == "package":
        return _locate_package(shelf.layout, chosen)
    located = locate_model(chosen.name, chosen.revision, root=root, allow_network=config.allow_network)
    return {"name": chosen.name, "revision": located.revision, "folder": None}


def _locate_package(layout: Layout, chosen: BackboneConfig) -> dict[str, Any]:
    """Return the record of a language model that was fetched as a package."""
    folder = layout.package_model(chosen.name)
    if not (described := layout.package_origin(chosen.name)).is_file():
        hint = f"Run `illmrec fetch language-model --package {chosen.name}`."
        raise MissingArtifactError("there is no language model of this package.", path=folder, hint=hint)
    origin = json.loads(described.read_text(encoding="utf-8"))
    if chosen.revision not in (None, origin["version"]):
        hint = f"Remove it and run `illmrec fetch language-model --package {chosen.name}=={chosen.revision}`."
        raise ModelError(f"is version {origin['version']}, expected {chosen.revision}.", path=folder, hint=hint)
    name = folder.relative_to(layout.root).as_posix()
    located = locate_model(name, None, root=layout.root)
    about = {"package": f"{origin['package']}=={origin['version']}", "licence": origin["licence"]}
    return {"name": name, "revision": located.revision, "folder": None} | about


def _train_small(shelf: Shelf, config: EncodersConfig, folder: Path) -> dict[str, list[float]]:
    catalog = shelf.catalog
    texts = [*catalog.describe_items(), *catalog.items["title"], *catalog.items["brand"]]
    tokenizer = train_tokenizer(texts, config.backbone.small.vocabulary)
    losses = {}
    if config.image.source == "train":
        (folder / "image").mkdir()
        pictures, described = _read_pairs(shelf, catalog)
        settings = ImageTextSettings(**config.image.small.model_dump(), seed=config.seed)
        losses["image"] = train_image_text(folder / "image", pictures, described, tokenizer, settings)
    if config.backbone.source == "train":
        (folder / "backbone").mkdir()
        language = LanguageSettings(**config.backbone.small.model_dump(), seed=config.seed)
        losses["backbone"] = train_language(folder / "backbone", catalog.items, tokenizer, language)
    return losses


def _read_pairs(shelf: Shelf, catalog: Catalog) -> tuple[list[Image.Image], list[str]]:
    """Return the readable pictures, small enough to hold in memory, and the text of each one's item."""
    texts = catalog.describe_items()
    pictures, described = [], []
    readable = list_readable_pictures(shelf, catalog)[:MAX_TRAINING_PICTURES]
    for picture in track(readable, "pictures", unit="picture"):
        opened = picture.open()
        opened.thumbnail((256, 256))
        pictures.append(opened)
        described.append(texts[picture.item_index])
    return pictures, described
