"""Stage ``embed-images``: pictures to the image feature matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from illmrec import atomic
from illmrec.config import EmbedImagesConfig
from illmrec.errors import DataError
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.catalog import Catalog
    from illmrec.features.cache import FeatureCache
    from illmrec.features.image_encoders import ImageEncoder
    from pipelines.pictures import Picture


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Encode the catalog's pictures into one matrix, a row per item.

    A picture whose bytes were encoded before, under whatever name, is taken from the feature cache. Features of several
    pictures of an item are averaged. An item without a readable picture gets what embed_images.missing says, and is
    counted.

    \b
    Example:
      illmrec embed-images --dataset amazon --json
    """
    context = open_context(dataset, as_json)
    config, layout = context.section(EmbedImagesConfig), context.layout
    with hold_lock(layout.lock("embed-images")):
        atomic.sweep_partial(layout.features("image").parent, "image")
        facts = embed_images(layout, config)
    context.emit(facts)


def embed_images(layout: Layout, config: EmbedImagesConfig) -> dict[str, Any]:
    """Write the image matrix; return how many pictures there were and how many had to be encoded."""
    from illmrec.features.cache import FeatureCache
    from illmrec.features.encode import encode_missing
    from illmrec.features.matrix import MatrixHeader, normalise, write_matrix
    from pipelines.assembly import load_catalog, load_image_encoder
    from pipelines.pictures import list_readable_pictures

    catalog = load_catalog(layout)
    encoder, record = load_image_encoder(layout)
    pictures = list_readable_pictures(layout, catalog)
    if not pictures:
        raise DataError("no item has a readable picture.", path=layout.prepared, hint="See images.parquet for reasons.")
    identity = json.dumps({key: value for key, value in record.items() if key != "training_loss"}, sort_keys=True)
    with FeatureCache(layout.feature_cache, f"image {identity}", record["revision"], encoder.width) as cache:
        sources: dict[str, Callable[[], Any]] = {picture.sha256: picture.open for picture in pictures}
        encoded = encode_missing(
            cache, sources, encoder.encode_images, batch_size=config.batch_size, label="encode pictures"
        )
        values, present = average_by_item(cache, pictures, len(catalog), encoder.width)
        filled = fill_missing(values, present, catalog, encoder, config, cache)
    header = MatrixHeader(
        kind="image",
        encoder=record["name"],
        revision=record["revision"],
        width=encoder.width,
        normalisation="rms",
        item_digest=catalog.digest,
        missing=int((~present).sum()),
        missing_policy=config.missing,
    )
    write_matrix(layout.features("image"), header, normalise(filled, "rms"), present)
    return {
        "pictures": len(pictures),
        "encoded": encoded,
        "items": len(catalog),
        "items_without_picture": header.missing,
    }


def average_by_item(
    cache: FeatureCache, pictures: list[Picture], n_items: int, width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return ``float32 [n_items, width]``, the mean feature of each item's pictures, and which items have one."""
    import numpy as np

    totals = np.zeros((n_items, width), dtype=np.float32)
    counts = np.zeros(n_items, dtype=np.int64)
    indices = np.array([picture.item_index for picture in pictures])
    np.add.at(totals, indices, cache.load([picture.sha256 for picture in pictures]))
    np.add.at(counts, indices, 1)
    return totals / np.maximum(counts, 1)[:, None].astype(np.float32), counts > 0


def fill_missing(
    values: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_],
    catalog: Catalog,
    encoder: ImageEncoder,
    config: EmbedImagesConfig,
    cache: FeatureCache,
) -> npt.NDArray[np.float32]:
    """Return the matrix with rows for items without a picture (paper, E.8: the text tower on the item's text)."""
    import numpy as np

    from illmrec.features.encode import encode_missing, hash_text

    filled = values.copy()
    absent = np.flatnonzero(~present)
    filled[absent] = values[present].mean(0)
    if config.missing == "mean" or not len(absent):
        return filled
    texts = catalog.describe_items()
    told = [int(item) for item in absent if texts[item]]
    keys = [f"text {hash_text(texts[item])}" for item in told]
    sources = {key: (lambda text=texts[item]: text) for key, item in zip(keys, told, strict=True)}
    encode_missing(cache, sources, encoder.encode_texts, batch_size=config.batch_size, label="encode texts")
    if told:
        filled[told] = cache.load(keys)
    return filled
