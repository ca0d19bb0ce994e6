"""What the comparison of pictures and texts found."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from illmrec.data.catalog import Catalog
from illmrec.features.cache import FeatureCache, find_width
from illmrec.features.encode import encode_missing, encode_texts_here
from illmrec.features.matrix import FeatureMatrix
from pipelines.assembly.encoders import key_tower_text, name_image_cache
from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.project.shelf import Shelf
from pipelines.quality.pairs import Pairs, compare_pairs

if TYPE_CHECKING:
    from illmrec.features.image_encoders import ImageEncoder


class PictureTextComparison:
    """Pictures beside texts. After :meth:`run` either ``pairs`` or ``reason`` is set."""

    def __init__(self, shelf: Shelf, bounds: ValidateFeaturesConfig, catalog: Catalog, images: FeatureMatrix) -> None:
        self.shelf, self.bounds, self.images = shelf, bounds, images
        self.record = shelf.read_encoder("image")
        described = catalog.describe_items()
        self.items = np.array([item for item in np.flatnonzero(images.present).tolist() if described[item]], np.int64)
        self.texts = [described[item] for item in self.items.tolist()]
        self.pairs: Pairs | None = None
        self.reason = ""

    def run(self) -> None:
        """Compare, or find out why it cannot be done."""
        if self.record["source"] != "open_clip":
            self.reason = f"the picture encoder ({self.record['source']}) has no text tower"
        elif len(self.items) < 2:
            self.reason = "fewer than two items have both a picture and a text"
        else:
            self.pairs = self._compare()

    def _compare(self) -> Pairs:
        name, revision = name_image_cache(self.record)

        @functools.cache
        def load() -> ImageEncoder:  # only if something must be encoded
            from pipelines.assembly.loading import load_image_encoder

            return load_image_encoder(self.shelf)[0]

        width = find_width(self.shelf.layout.feature_cache, name, revision) or load().width
        keys = [key_tower_text(text) for text in self.texts]
        with FeatureCache(self.shelf.layout.feature_cache, name, revision, width) as cache:
            encode_missing(
                cache,
                keys,
                dict(zip(keys, self.texts, strict=True)).__getitem__,
                encode_texts_here(lambda texts: load().encode_texts(texts)),
                batch_size=self.bounds.batch_size,
                label="encode texts",
                unit="text",
            )
            return compare_pairs(
                lambda rows: self.images.rows(self.items[rows]),
                lambda rows: cache.load([keys[row] for row in rows.tolist()]),
                len(keys),
                shuffles=self.bounds.shuffles,
                seed=self.bounds.seed,
            )
