"""The items of the core with clean texts and probed pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import polars as pl

from illmrec.columns import IMAGE_OK, IMAGES, ITEM_ID, ITEMS
from illmrec.data.images import ImageProbe
from illmrec.data.raw import PICTURES
from illmrec.data.text import clean_text

TEXTS = ("title", "brand", "description")


def select_pictures(pictures: pl.DataFrame, item_ids: pl.Series) -> pl.DataFrame:
    """Return the pictures of ``item_ids``, sorted by item and position."""
    wanted = pl.DataFrame({ITEM_ID: item_ids})
    return pictures.join(wanted, on=ITEM_ID, how="semi").sort(ITEM_ID, "position").select(list(PICTURES))


def build_images(pictures: pl.DataFrame, probes: Iterable[ImageProbe]) -> pl.DataFrame:
    """Return ``columns.IMAGES``: each row of ``pictures`` with its probe, in the same order."""
    schema = {name: kind for name, kind in IMAGES.items() if name not in PICTURES}
    facts = pl.DataFrame([asdict(probe) for probe in probes], schema=schema)
    return pl.concat([pictures, facts], how="horizontal").select(list(IMAGES)).cast(pl.Schema(IMAGES))


def build_items(
    raw_items: pl.DataFrame, item_ids: pl.Series, images: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Join the core's items with their texts and pictures.

    Args:
        raw_items: :data:`illmrec.data.raw.RAW_ITEMS`; of several rows with one id the first counts.
        item_ids: the core's items.
        images: ``columns.IMAGES``.

    Returns:
        ``columns.ITEMS`` sorted by item_id, and counts for the summary. An item without a row is kept with empty texts;
        one without any picture has an empty ``image_ref`` and the status ``missing``; one with several shows the first
        that is ``ok``.
    """
    wanted = pl.DataFrame({ITEM_ID: item_ids.unique().sort()})
    rows = raw_items.unique(ITEM_ID, keep="first", maintain_order=True).join(wanted, on=ITEM_ID, how="semi")
    shown = (
        images.sort(pl.col("status") != IMAGE_OK, "position")
        .unique(ITEM_ID, keep="first", maintain_order=True)
        .select(ITEM_ID, "image_ref", image_status="status")
    )
    items = (
        wanted.join(_clean(rows), on=ITEM_ID, how="left")
        .join(shown, on=ITEM_ID, how="left")
        .with_columns(
            pl.col(*TEXTS, "image_ref").fill_null(""),
            pl.col("category").fill_null([]),
            pl.col("image_status").fill_null("missing"),
        )
        .sort(ITEM_ID)
        .select(list(ITEMS))
        .cast(pl.Schema(ITEMS))
    )
    counts = {
        "duplicate_item_rows_dropped": raw_items.height - raw_items[ITEM_ID].n_unique(),
        "items_without_row": wanted.height - rows.height,
        "items_without_image": items.filter(pl.col("image_status") != IMAGE_OK).height,
        "empty_titles": items.filter(pl.col("title") == "").height,
        "empty_descriptions": items.filter(pl.col("description") == "").height,
    }
    return items, counts


def _clean(rows: pl.DataFrame) -> pl.DataFrame:
    categories = [[name for raw in values or [] if (name := clean_text(raw))] for values in rows["category"].to_list()]
    return rows.with_columns(
        *(pl.Series(name, [clean_text(raw) for raw in rows[name]], pl.String) for name in TEXTS),
        pl.Series("category", categories, pl.List(pl.String)),
    )
