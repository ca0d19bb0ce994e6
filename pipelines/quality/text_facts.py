"""What the gate knows about each item's texts: noise, length, copies, language, category."""

from __future__ import annotations

import polars as pl

from illmrec.columns import ITEM_ID
from pipelines.parameters.data import ValidateConfig
from pipelines.quality import noise
from pipelines.quality.flags import ROW, flag
from pipelines.quality.language import guess_languages


def describe_descriptions(items: pl.DataFrame, bounds: ValidateConfig) -> pl.DataFrame:
    """Return each item whose cleaned description is not blank, and flags of noise in it."""
    filled = items.with_row_index(ROW, 1).filter(~noise.is_blank(pl.col("description")))
    words = noise.count_words(pl.col("description"))
    return filled.select(
        ROW,
        ITEM_ID,
        flag(words < bounds.short_words).alias("short"),
        flag(words > bounds.long_words).alias("long"),
        flag(noise.has_html(pl.col("description"))).alias("html"),
        flag(pl.lit(noise.has_boilerplate(filled["description"]))).alias("boilerplate"),
        flag(noise.normalize(pl.col("description")).is_duplicated()).alias("duplicated"),
    )


def describe_raw_descriptions(raw_texts: pl.DataFrame | None) -> pl.DataFrame | None:
    """Return each item whose description as published is not blank, and flags of what cleaning had to deal with.

    None where the texts as published are not kept.
    """
    if raw_texts is None:
        return None
    filled = raw_texts.with_row_index(ROW, 1).filter(~noise.is_blank(pl.col("description")))
    return filled.select(
        ROW,
        ITEM_ID,
        flag(noise.has_html(pl.col("description"))).alias("html"),
        flag(pl.lit(noise.has_boilerplate(filled["description"]))).alias("boilerplate"),
    )


def describe_languages(items: pl.DataFrame, language: str | None) -> pl.DataFrame | None:
    """Return each item whose description shows its language, and whether that is another than ``language``.

    None when no language is expected.
    """
    if language is None:
        return None
    guessed = guess_languages(items["description"]).alias("guessed")
    told = items.with_row_index(ROW, 1).with_columns(guessed).filter(pl.col("guessed").is_not_null())
    return told.select(ROW, ITEM_ID, flag(pl.col("guessed") != language).alias("other_language"))


def describe_categories(items: pl.DataFrame) -> pl.DataFrame:
    """Return each item with a category, and whether its whole path is the one that most items have."""
    placed = items.with_row_index(ROW, 1).filter(pl.col("category").list.len() > 0)
    path = placed["category"].list.join("\n", ignore_nulls=True)
    # Of several equally common paths the first in the alphabet, so that one path only is meant.
    counts = path.value_counts().sort("count", "category", descending=[True, False])
    common = counts["category"][0] if counts.height else ""
    return placed.select(ROW, ITEM_ID, flag(pl.lit(path == common)).alias("commonest"))
