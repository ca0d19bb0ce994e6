"""Items that came after training: batches in the raw folder, and the grown catalog that nights are written from.

A batch is a folder ``added/<name>/`` of an own-format catalog with ``items.parquet`` and ``images/``, published by one
rename. ``prepare`` reads it like the rest of the raw folder; until users have taken its items often enough for the
k-core, the tables of ``prepare`` lack them. So nights are written from the *grown* catalog: those tables and every
added item, with features of its own in ``work/serving/<data set>``, which are made when something has changed. All
encoded pictures and texts come from the feature cache; only new ones are encoded.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, ITEMS
from illmrec.data.files.picture_files import pictures_table
from illmrec.data.images import probe_images
from illmrec.data.items import build_images, build_items, clean_items, select_pictures, select_raw_texts
from illmrec.data.readers.added import ADDED, list_batches, read_batches
from illmrec.features.encode import key_texts
from illmrec.features.matrix import digest_sources
from pipelines.assembly.pictures import read_readable_pictures
from pipelines.parameters.data import PrepareConfig
from pipelines.parameters.features import EmbedImagesConfig, EmbedTextConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout, ServingLayout
from pipelines.project.lock import locked
from pipelines.project.shelf import Shelf
from pipelines.stages.embed_images import digest_image_sources, embed_images
from pipelines.stages.embed_text import embed_text

SOURCE_FILE = "serving.json"
LINKED = ("interactions", "interactions_below_core", "users")
"""Tables of ``prepare`` that are the same for the grown catalog."""


def open_grown_catalog(context: Context) -> Shelf:
    """Return the shelf with the items and features that nights are written from, after making what is out of date.

    Without added items, and with features of today's catalog, that is the data set's own. Otherwise, also where the
    k-core let other items in, or pictures or texts changed, since the features were made, it is the grown catalog's;
    load the model with :func:`pipelines.registry.carried.load_recommender_on_catalog`.

    Raises:
        MissingArtifactError: when a stage has not run.
        DataError: when a batch is damaged.
    """
    raw = context.layout.root / context.section(PrepareConfig).folder
    batches = list_batches(raw)
    if not batches and has_features(context.shelf, context.section(EmbedImagesConfig)):
        return context.shelf
    return _bring_up_to_date(context, raw, batches)


@locked("serving", wait_seconds=600)
def _bring_up_to_date(context: Context, raw: Path, batches: list[str]) -> Shelf:
    # Opened under the lock: while another held it, the stages may have made other tables.
    core, grown = Shelf(context.layout), Shelf(ServingLayout(context.layout.root, context.layout.dataset))
    source, identity = grown.layout.serving / SOURCE_FILE, _identify(context, core, raw, batches)
    if _read_identity(source) != identity:
        source.unlink(missing_ok=True)  # what is there is not whole until this is back
        atomic.sweep_partial(grown.layout.serving)
        _write_tables(core, grown.layout, raw, context.section(PrepareConfig).max_pixels)
        embed_images(grown, context.section(EmbedImagesConfig))
        embed_text(grown, context.section(EmbedTextConfig))
        atomic.write_json(source, {"identity": identity})
    return grown


def has_features(shelf: Shelf, config: EmbedImagesConfig) -> bool:
    """Return whether the picture and text features are those of today's items, pictures and texts.

    Features that do not say what they were made of were made by an earlier release: their items decide.
    """
    catalog = shelf.catalog
    today = {
        "image": digest_image_sources(read_readable_pictures(shelf, catalog), catalog, config),
        "text": digest_sources(*key_texts(catalog.describe_items())),
    }
    for kind, sources in today.items():
        try:
            header = json.loads((shelf.layout.features(kind) / "header.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if header.get("item_digest") != catalog.digest or header.get("sources", "") not in ("", sources):
            return False
    return True


def _write_tables(core: Shelf, grown: Layout, raw: Path, max_pixels: int) -> None:
    prepared, core_items = core.layout.prepared, core.catalog.items
    items, images = gather_added(raw, core_items[ITEM_ID], max_pixels)
    with atomic.write_folder(grown.prepared) as folder:
        # Items of the core first, in their order: their index stays what it is in training.
        atomic.write_parquet(folder / "items.parquet", pl.concat([core_items, items.select(list(ITEMS))]))
        atomic.write_parquet(folder / "images.parquet", pl.concat([core.images, images]))
        for name in LINKED:
            (folder / f"{name}.parquet").symlink_to(os.path.relpath(prepared / f"{name}.parquet", grown.prepared))
        atomic.write_json(folder / "source.json", core.read_object(prepared / "source.json"))


def gather_added(raw: Path, known: pl.Series, max_pixels: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return items and images tables of all added items that ``known`` lacks, texts clean and pictures probed.

    Args:
        raw: the raw folder.
        known: ids that are in the catalog already.
        max_pixels: larger pictures are refused before decoding.
    """
    raw_items, pictures = read_batches(raw)
    new = raw_items.filter(~pl.col(ITEM_ID).is_in(known.implode()))[ITEM_ID].unique().sort()
    chosen = select_pictures(pictures_table(pictures), new)
    probes = probe_images(raw, chosen["image_ref"].to_list(), max_pixels)
    images = build_images(chosen, probes)
    items, _ = build_items(clean_items(select_raw_texts(raw_items, new)), new, images)
    return items, images


def _identify(context: Context, core: Shelf, raw: Path, batches: list[str]) -> str:
    """Return a digest of everything the grown catalog is made of."""
    prepared = core.require(core.layout.prepared)
    sources = {
        "core": [core.digest(prepared / f"{name}.parquet") for name in ("items", "images")],
        "encoders": core.digest(core.layout.encoders / "encoders.json"),
        "batches": {name: atomic.digest_file(raw / ADDED / name / "items.parquet") for name in batches},
        "settings": [
            context.section(EmbedImagesConfig).model_dump(mode="json", include={"missing", "shrunk_side"}),
            context.section(PrepareConfig).max_pixels,
        ],
    }
    return hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()


def _read_identity(path: Path) -> str | None:
    try:
        identity = json.loads(path.read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(identity)
