"""Stage ``embed-text``: descriptions to the text feature matrix."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from illmrec.errors import DataError
from illmrec.features.assemble import write_means, write_same
from illmrec.features.cache import FeatureCache, find_width
from illmrec.features.encode import Engine, encode_missing, encode_texts_here, key_texts
from illmrec.features.matrix import MatrixHeader, digest_sources, write_blocks
from pipelines.parameters.features import EmbedTextConfig
from pipelines.parameters.section import EngineName
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage

if TYPE_CHECKING:
    from illmrec.features.text_encoders import SentenceEncoder


@stage("embed_text")
def run(context: Context, engine: EngineName | None = None) -> Facts:
    """Encode the texts of the data set; ``engine`` takes the place of the section's."""
    config = context.section(EmbedTextConfig)
    return embed_text(context.shelf, config if engine is None else config.model_copy(update={"engine": engine}))


def embed_text(shelf: Shelf, config: EmbedTextConfig) -> dict[str, Any]:
    """Write the text matrix; return how many texts there were and how many had to be encoded."""
    catalog = shelf.catalog
    record = shelf.read_encoder("text")
    texts = catalog.describe_items()
    told, keys = key_texts(texts)
    if not len(told):
        raise DataError(
            "no item has any text.", path=shelf.layout.prepared, hint="Give items a title or a description."
        )

    @functools.cache
    def load() -> SentenceEncoder:  # only if something must be encoded
        from pipelines.assembly.loading import load_text_encoder

        return load_text_encoder(shelf)[0]

    by_key = {key: texts[item] for key, item in zip(keys, told.tolist(), strict=True)}
    name, revision = f"text {record['name']}", record["revision"]
    width = find_width(shelf.layout.feature_cache, name, revision) or load().width
    with FeatureCache(shelf.layout.feature_cache, name, revision, width) as cache:
        encoded = encode_missing(
            cache,
            keys,
            by_key.__getitem__,
            _choose_engine(shelf.layout, config, load),
            batch_size=config.batch_size,
            label="encode descriptions",
            unit="text",
        )
        with write_blocks(shelf.layout.features("text"), len(catalog), width) as writer:
            assembled = write_means(writer, cache, keys, told, len(catalog))
            write_same(writer, assembled.mean, np.flatnonzero(~assembled.present))
            header = MatrixHeader(
                kind="text",
                encoder=record["name"],
                revision=revision,
                width=width,
                normalisation="rms",
                item_digest=catalog.digest,
                missing=len(catalog) - len(told),
                missing_policy="mean",
                sources=digest_sources(told, keys),
            )
            writer.finish(header, assembled.present)
    return {
        "texts": len(told),
        "encoded": encoded.count,
        "items": len(catalog),
        "items_without_text": header.missing,
    }


def _choose_engine(layout: Layout, config: EmbedTextConfig, load: Callable[[], SentenceEncoder]) -> Engine[str]:
    if config.engine == "ray":
        from pipelines.engines.ray_data import TextWork, encode_on_ray

        return encode_on_ray(TextWork(layout), config.ray_actors)

    return encode_texts_here(lambda texts: load().encode_texts(texts))
