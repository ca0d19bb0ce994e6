"""Stage ``embed-images``: pictures to the image feature matrix."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError
from illmrec.features.assemble import Assembled, write_means, write_rows, write_same
from illmrec.features.cache import FeatureCache, find_width
from illmrec.features.decoding import DecodeLimits, PictureFile
from illmrec.features.encode import Encoded, Engine, encode_missing, encode_pictures_here, encode_texts_here, key_texts
from illmrec.features.matrix import MatrixHeader, MatrixWriter, digest_sources, write_blocks
from pipelines.assembly.encoders import key_tower_text, name_image_cache
from pipelines.assembly.pictures import ReadablePictures, hide_pictures, read_readable_pictures
from pipelines.parameters.features import EmbedImagesConfig
from pipelines.parameters.section import EngineName
from pipelines.project.context import Context
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage

if TYPE_CHECKING:
    from illmrec.features.image_encoders import ImageEncoder

log = logging.getLogger(__name__)


@stage("embed_images")
def run(context: Context, engine: EngineName | None = None) -> Facts:
    """Encode the pictures of the data set; ``engine`` takes the place of the section's."""
    config = context.section(EmbedImagesConfig)
    return embed_images(context.shelf, config if engine is None else config.model_copy(update={"engine": engine}))


def embed_images(shelf: Shelf, config: EmbedImagesConfig) -> dict[str, Any]:
    """Write the image matrix; return how many pictures there were and how many had to be encoded."""
    catalog = shelf.catalog
    pictures = read_readable_pictures(shelf, catalog)
    if not len(pictures):
        raise DataError(
            "no item has a readable picture.", path=shelf.layout.prepared, hint="See images.parquet for reasons."
        )
    sources = digest_image_sources(pictures, catalog, config)
    if config.hidden_share:
        log.warning("embed_images.hidden_share is %g: pictures are hidden to see what that costs.", config.hidden_share)
        pictures = hide_pictures(pictures, catalog.item_ids, config.hidden_share, config.hidden_seed)
    return _Embedding(shelf, config, catalog, pictures, sources).run()


def digest_image_sources(pictures: ReadablePictures, catalog: Catalog, config: EmbedImagesConfig) -> str:
    """Return a digest of the pictures, wherever they lie, and of the texts where these stand in for missing ones."""
    own = digest_sources(pictures.item_indices, pictures.digests)
    texts = [digest_sources(*key_texts(catalog.describe_items()))] if config.missing == "text_tower" else []
    return " ".join([own, *texts])


class _Embedding:
    """One run of the stage. The encoder is loaded only if something must be encoded."""

    def __init__(
        self, shelf: Shelf, config: EmbedImagesConfig, catalog: Catalog, pictures: ReadablePictures, sources: str
    ) -> None:

        self.shelf, self.layout = shelf, shelf.layout
        self.config, self.catalog, self.pictures = config, catalog, pictures
        self.sources = sources
        self.record = shelf.read_encoder("image")

    @functools.cached_property
    def encoder(self) -> ImageEncoder:
        """Load the picture encoder, once."""
        from pipelines.assembly.loading import load_image_encoder

        encoder = load_image_encoder(self.shelf)[0]
        encoder.preparation = dataclasses.replace(encoder.preparation, shrunk_side=self.config.shrunk_side)
        return encoder

    def read_with_tower(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the text tower on some texts."""
        return self.encoder.encode_texts(texts)

    def run(self) -> dict[str, Any]:
        """Write the matrix; return what was there and what had to be encoded."""
        name, revision = name_image_cache(self.record)
        if self.config.shrunk_side is not None:
            name += f" of pictures shrunk to {self.config.shrunk_side}"
        width = find_width(self.layout.feature_cache, name, revision) or self.encoder.width
        with FeatureCache(self.layout.feature_cache, name, revision, width) as cache:
            encoded = self.encode_pictures(cache)
            self.refuse_empty(encoded)
            with write_blocks(self.layout.features("image"), len(self.catalog), width) as writer:
                assembled = self.write_pictures(writer, cache, encoded)
                self.fill_missing(writer, cache, assembled)
                missing = int((~assembled.present).sum())
                writer.finish(self.describe(width, missing), assembled.present)
                atomic.write_json(writer.partial / "undecodable.json", self.list_refused(encoded))
        return {
            "pictures": len(self.pictures),
            "encoded": encoded.count,
            "undecodable": len(encoded.refused),
            "items": len(self.catalog),
            "items_without_picture": missing,
        }

    def encode_pictures(self, cache: FeatureCache) -> Encoded:
        """Encode the pictures that the cache lacks."""
        config, raw = self.config, self.pictures.raw
        limits = DecodeLimits(self.pictures.max_pixels, config.decode_memory_mb, config.decode_seconds)
        references = dict(zip(self.pictures.digests, self.pictures.references, strict=True))

        engine: Engine[PictureFile]
        if config.engine == "ray":
            from pipelines.engines.ray_data import PictureWork, encode_on_ray

            engine = encode_on_ray(PictureWork(self.layout, limits, config.batch_size), config.ray_actors)
        else:
            engine = encode_pictures_here(
                lambda: self.encoder, limits, batch_size=config.batch_size, workers=config.decode_workers
            )
        return encode_missing(
            cache,
            self.pictures.digests,
            lambda digest: PictureFile(raw / references[digest], digest),
            engine,
            batch_size=config.batch_size,
            label="encode pictures",
            unit="picture",
        )

    def refuse_empty(self, encoded: Encoded) -> None:
        """Stop when no picture is left to build a matrix from, unless all are hidden on purpose."""
        if len(self.pictures) and all(digest in encoded.refused for digest in self.pictures.digests):
            reason = next(iter(encoded.refused.values()))
            hint = "Raise embed_images.decode_memory_mb or decode_seconds, or look at the pictures."
            raise DataError(f"no picture could be decoded; the first: {reason}.", path=self.pictures.raw, hint=hint)

    def write_pictures(self, writer: MatrixWriter, cache: FeatureCache, encoded: Encoded) -> Assembled:
        """Write the rows of items with a picture: the mean of its pictures."""
        digests, indices = self.pictures.digests, self.pictures.item_indices
        if encoded.refused:
            kept = [place for place, digest in enumerate(digests) if digest not in encoded.refused]
            digests, indices = [digests[place] for place in kept], indices[np.array(kept, dtype=np.int64)]
        return write_means(writer, cache, digests, indices, len(self.catalog))

    def fill_missing(self, writer: MatrixWriter, cache: FeatureCache, assembled: Assembled) -> None:
        """Write the rows of items without a picture (paper, E.8: the text tower on the item's text)."""
        absent = np.flatnonzero(~assembled.present)
        if self.config.missing == "zero" or not len(absent):
            return  # rows begin as zeros
        write_same(writer, assembled.mean, absent)
        if self.config.missing == "mean":
            return
        texts = self.catalog.describe_items()
        told = np.array([item for item in absent.tolist() if texts[item]], dtype=np.int64)
        keys = self.encode_texts(cache, [texts[item] for item in told.tolist()])
        write_rows(writer, cache, keys, told)

    def encode_texts(self, cache: FeatureCache, texts: list[str]) -> list[str]:
        """Encode texts with the picture encoder's text tower; return their keys."""
        keys = [key_tower_text(text) for text in texts]
        told = dict(zip(keys, texts, strict=True))

        engine: Engine[str]
        if self.config.engine == "ray":
            from pipelines.engines.ray_data import TowerTextWork, encode_on_ray

            engine = encode_on_ray(TowerTextWork(self.layout), self.config.ray_actors)
        else:
            engine = encode_texts_here(self.read_with_tower)
        size = self.config.batch_size
        encode_missing(cache, keys, told.__getitem__, engine, batch_size=size, label="encode texts", unit="text")
        return keys

    def describe(self, width: int, missing: int) -> Any:
        """Return the header of the matrix."""
        return MatrixHeader(
            kind="image",
            encoder=self.record["name"],
            revision=self.record["revision"],
            width=width,
            normalisation="rms",
            item_digest=self.catalog.digest,
            missing=missing,
            missing_policy=self.config.missing,
            sources=self.sources,
        )

    def list_refused(self, encoded: Encoded) -> list[dict[str, str]]:
        """Return a row for each picture that could not be decoded."""
        pictures = self.pictures
        rows = zip(pictures.item_indices.tolist(), pictures.references, pictures.digests, strict=True)
        return [
            {"item_id": self.catalog.item_ids[item], "image_ref": reference, "sha256": digest,
             "reason": encoded.refused[digest]}
            for item, reference, digest in rows
            if digest in encoded.refused
        ]  # fmt: skip
