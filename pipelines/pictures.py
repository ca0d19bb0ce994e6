"""The readable pictures of a prepared catalog, opened from its raw folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID
from illmrec.data.catalog import Catalog
from pipelines.layout import Layout, require

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """One readable picture of one item."""

    path: Path
    sha256: str
    item_index: int
    max_pixels: int

    def open(self) -> Image.Image:
        """Decode it as RGB."""
        from illmrec.data.images import open_rgb

        return open_rgb(self.path, self.max_pixels)


def list_readable_pictures(layout: Layout, catalog: Catalog) -> list[Picture]:
    """Return every picture that decoded in full when the catalog was prepared, by item and position."""
    folder = require(layout.prepared, f"prepare --dataset {layout.dataset}")
    source = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    raw, max_pixels = layout.root / source["folder"], int(source["max_pixels"])
    images = pl.read_parquet(folder / "images.parquet").filter(pl.col("status") == IMAGE_OK)
    indices = catalog.index_items(images[ITEM_ID]).tolist()
    rows = zip(images["image_ref"], images["sha256"], indices, strict=True)
    return [Picture(raw / reference, digest, index, max_pixels) for reference, digest, index in rows]
