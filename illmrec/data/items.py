"""The items of the core with clean texts and probed pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import numpy as np
import polars as pl

from illmrec.columns import IMAGE_OK, IMAGES, ITEM_ID, ITEMS, RAW_TEXTS
from illmrec.data.images import ImageProbe
from illmrec.data.lists import build_lists
from illmrec.data.raw import PICTURES
from illmrec.data.text import clean_texts

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


def select_raw_texts(raw_items: pl.DataFrame, item_ids: pl.Series) -> pl.DataFrame:
    """Return ``columns.RAW_TEXTS`` of ``item_ids``, sorted by id.

    Args:
        raw_items: :data:`illmrec.data.raw.RAW_ITEMS`; of several rows with one id the first counts.
        item_ids: the core's items; one without a row is left out.
    """
    wanted = pl.DataFrame({ITEM_ID: item_ids})
    known = raw_items.join(wanted, on=ITEM_ID, how="semi", maintain_order="left")
    return known.unique(ITEM_ID, keep="first", maintain_order=True).sort(ITEM_ID).select(list(RAW_TEXTS))


def clean_items(raw_texts: pl.DataFrame) -> pl.DataFrame:
    """Return the same rows of ``columns.RAW_TEXTS`` with clean texts, none of them null."""
    cleaned = raw_texts.with_columns(clean_texts(raw_texts[name]) for name in TEXTS)
    return cleaned.with_columns(_clean_names(raw_texts["category"])).select(list(RAW_TEXTS))


def _clean_names(lists: pl.Series) -> pl.Series:
    """Clean each name of lists of names, and leave out those that come out empty."""
    rows = pl.DataFrame({"name": lists}).with_row_index("row").explode("name").drop_nulls("name")
    cleaned = rows.with_columns(clean_texts(rows["name"])).filter(pl.col("name") != "")
    lengths = np.bincount(cleaned["row"].to_numpy(), minlength=len(lists))
    return build_lists(cleaned["name"].alias(lists.name), np.append(0, np.cumsum(lengths)).astype(np.int64))


def build_items(texts: pl.DataFrame, item_ids: pl.Series, images: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Join the core's items with their clean texts and their pictures.

    Args:
        texts: of :func:`clean_items`, one row per item.
        item_ids: the core's items.
        images: ``columns.IMAGES``.

    Returns:
        ``columns.ITEMS`` sorted by item_id, and counts for the summary. An item without a row is kept with empty texts;
        one without any picture has an empty ``image_ref`` and the status ``missing``; one with several shows the first
        that is ``ok``.
    """
    wanted = pl.DataFrame({ITEM_ID: item_ids.unique().sort()})
    shown = (
        images.sort(pl.col("status") != IMAGE_OK, "position")
        .unique(ITEM_ID, keep="first", maintain_order=True)
        .select(ITEM_ID, "image_ref", image_status="status")
    )
    items = (
        wanted.join(texts, on=ITEM_ID, how="left")
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
        "items_without_row": wanted.height - texts.height,
        "items_without_image": items.filter(pl.col("image_status") != IMAGE_OK).height,
        "empty_titles": items.filter(pl.col("title") == "").height,
        "empty_descriptions": items.filter(pl.col("description") == "").height,
    }
    return items, counts
