"""What the gate knows about each picture that decodes in full: stand-ins, copies, odd sizes."""

from __future__ import annotations

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID
from pipelines.parameters.data import ValidateConfig
from pipelines.quality.flags import ROW, flag

FLAT_MIN_PIXELS = 10_000
FLAT_HEADER_BYTES = 700
FLAT_BYTES_PER_PIXEL = 0.02
"""A JPEG, PNG or WebP of one colour takes fewer bytes than this, beside its header; a photograph takes several times as
many. Below ``FLAT_MIN_PIXELS`` the header outweighs the content, and nothing is claimed."""


def describe_pictures(images: pl.DataFrame, bounds: ValidateConfig) -> pl.DataFrame:
    """Return each picture that decodes in full, and flags of what makes it worthless as a picture of its item.

    A file that stands for ``placeholder_items`` items or more is a placeholder; one that stands for several, but fewer,
    is duplicated. Pictures of one item (video frames) may be equal.
    """
    readable = images.with_row_index(ROW, 1).filter(pl.col("status") == IMAGE_OK)
    sharing = readable.group_by("sha256").agg(pl.col(ITEM_ID).n_unique().alias("sharing"))
    shorter, longer = count_shorter_side(), pl.max_horizontal("width", "height").cast(pl.Int64)
    pixels = shorter * longer
    sparse = pl.col("bytes") <= FLAT_HEADER_BYTES + FLAT_BYTES_PER_PIXEL * pixels
    return readable.join(sharing, on="sha256", how="left", maintain_order="left").select(
        ROW,
        ITEM_ID,
        flag(pl.col("sharing") >= bounds.placeholder_items).alias("placeholder"),
        flag(pl.col("sharing").is_between(2, bounds.placeholder_items - 1)).alias("duplicated"),
        flag(sparse & (pixels >= FLAT_MIN_PIXELS)).alias("flat"),
        flag(shorter < bounds.min_side).alias("tiny"),
        flag(longer > bounds.max_aspect_ratio * shorter).alias("stretched"),
    )


def count_shorter_side() -> pl.Expr:
    """Return the shorter side of each picture in pixels."""
    return pl.min_horizontal("width", "height").cast(pl.Int64)
