"""Stage ``embed-text``: descriptions to the text feature matrix."""

from __future__ import annotations

from typing import Any

import click

from illmrec import atomic
from illmrec.config import EmbedTextConfig
from illmrec.errors import DataError
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout
from pipelines.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Encode the catalog's descriptions into one matrix, a row per item.

    An item without a description is encoded by its title, else by its categories; an item without any text gets the
    mean of the others and is counted.

    \b
    Example:
      illmrec embed-text --dataset amazon
    """
    context = open_context(dataset, as_json)
    config, layout = context.section(EmbedTextConfig), context.layout
    with hold_lock(layout.lock("embed-text")):
        atomic.sweep_partial(layout.features("text").parent, "text")
        facts = embed_text(layout, config)
    context.emit(facts)


def embed_text(layout: Layout, config: EmbedTextConfig) -> dict[str, Any]:
    """Write the text matrix; return how many texts there were and how many had to be encoded."""
    import numpy as np

    from illmrec.features.cache import FeatureCache
    from illmrec.features.encode import encode_missing, hash_text
    from illmrec.features.matrix import MatrixHeader, normalise, write_matrix
    from pipelines.assembly import load_catalog, load_text_encoder

    catalog = load_catalog(layout)
    encoder, record = load_text_encoder(layout)
    texts = catalog.describe_items()
    told = [item for item, text in enumerate(texts) if text]
    if not told:
        raise DataError("no item has any text.", path=layout.prepared, hint="Give items a title or a description.")
    keys = [hash_text(texts[item]) for item in told]
    with FeatureCache(layout.feature_cache, f"text {record['name']}", record["revision"], encoder.width) as cache:
        sources = {key: (lambda text=texts[item]: text) for key, item in zip(keys, told, strict=True)}
        encoded = encode_missing(
            cache, sources, encoder.encode_texts, batch_size=config.batch_size, label="encode descriptions"
        )
        vectors = cache.load(keys)
    values = np.tile(vectors.mean(0), (len(catalog), 1))
    values[told] = vectors
    present = np.array([bool(text) for text in texts])
    header = MatrixHeader(
        kind="text",
        encoder=record["name"],
        revision=record["revision"],
        width=encoder.width,
        normalisation="rms",
        item_digest=catalog.digest,
        missing=int((~present).sum()),
        missing_policy="mean",
    )
    write_matrix(layout.features("text"), header, normalise(values, "rms"), present)
    return {"texts": len(told), "encoded": encoded, "items": len(catalog), "items_without_text": header.missing}
