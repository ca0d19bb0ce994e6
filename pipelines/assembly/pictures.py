"""The readable pictures of a prepared catalog, opened from its raw folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

from illmrec.columns import IMAGE_OK, ITEM_ID
from illmrec.data.catalog import Catalog
from illmrec.data.images import open_rgb
from illmrec.seeds import derive_seed_of_each
from pipelines.project.shelf import Shelf


@dataclass(frozen=True)
class Picture:
    """One readable picture of one item."""

    path: Path
    sha256: str
    item_index: int
    max_pixels: int

    def open(self) -> Image.Image:
        """Decode it as RGB."""
        return open_rgb(self.path, self.max_pixels)


@dataclass(frozen=True)
class ReadablePictures:
    """All pictures that decoded in full when the catalog was prepared, by item and position; one row each."""

    raw: Path
    """Folder that references start from."""
    max_pixels: int
    """Largest picture that the catalog was prepared with."""
    references: list[str]
    """Where each picture lies below ``raw``."""
    digests: list[str]
    """Sha256 of each picture's bytes."""
    item_indices: npt.NDArray[np.int32]
    """``int32 [n]``, ascending: the item each belongs to."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.references)


def read_readable_pictures(shelf: Shelf, catalog: Catalog) -> ReadablePictures:
    """Read which pictures are readable, without an object for each: catalogs have hundreds of thousands."""
    source = shelf.read_object(shelf.layout.prepared / "source.json", "folder", "max_pixels")
    images = shelf.images.filter(pl.col("status") == IMAGE_OK)
    indices = catalog.index_items(images[ITEM_ID])
    order = np.argsort(indices, kind="stable")
    images = images[order]
    return ReadablePictures(
        raw=shelf.layout.root / source["folder"],
        max_pixels=int(source["max_pixels"]),
        references=images["image_ref"].to_list(),
        digests=images["sha256"].to_list(),
        item_indices=indices[order],
    )


def hide_pictures(pictures: ReadablePictures, item_ids: Sequence[str], share: float, seed: int) -> ReadablePictures:
    """Return the pictures that are left when those of a share of the items are hidden.

    Args:
        pictures: all of them.
        item_ids: every item of the catalog, by index.
        share: share of the items; a hash of seed and id decides, so a larger share holds a smaller one.
        seed: of the hash.
    """
    draws = derive_seed_of_each(item_ids, seed, "hidden picture") / 2.0**64
    kept = np.flatnonzero(draws[pictures.item_indices] >= share)
    return replace(
        pictures,
        references=[pictures.references[place] for place in kept],
        digests=[pictures.digests[place] for place in kept],
        item_indices=pictures.item_indices[kept],
    )


def list_readable_pictures(shelf: Shelf, catalog: Catalog) -> list[Picture]:
    """Return every picture that decoded in full when the catalog was prepared, by item and position."""
    readable = read_readable_pictures(shelf, catalog)
    rows = zip(readable.references, readable.digests, readable.item_indices.tolist(), strict=True)
    return [Picture(readable.raw / reference, digest, index, readable.max_pixels) for reference, digest, index in rows]
