"""What the gate knows about each row of the prepared tables: frames of ids, counts and 0/1 flags.

Each frame has ``row`` (the 1-based row of the Parquet file it describes), ids as strings, and numbers. No other text of
the catalog passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID, TIMESTAMP, USER_ID
from pipelines.parameters.data import ValidateConfig
from pipelines.quality import noise
from pipelines.quality.flags import ROW, flag
from pipelines.quality.interaction_facts import describe_interactions, describe_users, flag_dominating
from pipelines.quality.picture_facts import describe_pictures
from pipelines.quality.tables import SCHEMAS, complete_columns, has_column
from pipelines.quality.text_facts import (
    describe_categories,
    describe_descriptions,
    describe_languages,
    describe_raw_descriptions,
)

IMAGE_MISSING = "missing"
IMAGE_STATUSES = (IMAGE_OK, IMAGE_MISSING, "undecodable", "too_large", "unsafe_path")

REQUIRED: dict[str, dict[str, tuple[str, ...]]] = {
    "image_columns": {"items": (ITEM_ID, "image_status"), "images": (ITEM_ID, "status", "sha256", "width", "height")},
    "interaction_columns": {
        "interactions": (USER_ID, ITEM_ID, TIMESTAMP),
        "items": (ITEM_ID,),
        "users": (USER_ID, "status"),
    },
    "text_columns": {"items": (ITEM_ID, "title", "category", "description")},
}
"""Columns the suites need, by the name of the frame that describes them. None may hold a null."""


@dataclass(frozen=True)
class Facts:
    """What can be judged, and what cannot.

    Attributes:
        frames: frames by name.
        absent: name of a frame that could not be made -> why; checks about it are reported as not run.
    """

    frames: dict[str, pl.DataFrame]
    absent: dict[str, str]


def gather_facts(tables: dict[str, pl.DataFrame], bounds: ValidateConfig, *, repeats: str, now: int) -> Facts:
    """Return every frame the suites judge.

    Args:
        tables: the prepared tables, see :data:`pipelines.quality.tables.SCHEMAS`; ``raw_texts`` may be absent.
        bounds: what counts as short, tiny, a bot, ...
        repeats: ``first`` when a user may meet an item once, ``all`` when only at different times.
        now: seconds since 1970 UTC; later timestamps are in the future.
    """
    complete = complete_columns(tables)
    interactions, items = complete["interactions"], complete["items"]
    frames = {name: describe_columns(tables, needed) for name, needed in REQUIRED.items()}
    frames |= {
        "users": describe_users(complete["users"], interactions, bounds),
        "items": describe_items(items, complete["images"], interactions, bounds),
        "interactions": describe_interactions(interactions, items, complete["users"], bounds, repeats=repeats, now=now),
    }
    absent = {}
    optional = {
        "pictures": (describe_pictures(complete["images"], bounds), "no picture decodes in full"),
        "descriptions": (describe_descriptions(items, bounds), "no item has a description"),
        "categories": (describe_categories(items), "no item has a category"),
        "raw_descriptions": (
            describe_raw_descriptions(complete.get("raw_texts")),
            "no item is published with a description"
            if "raw_texts" in tables
            else "raw_texts.parquet is not there; `illmrec prepare` of this version writes it",
        ),
        "languages": (
            describe_languages(items, bounds.language),
            "no description is long enough to tell its language" if bounds.language else "validate.language is not set",
        ),
    }
    for name, (frame, reason) in optional.items():
        if frame is None or not frame.height:
            absent[name] = reason
        else:
            frames[name] = frame
    return Facts(frames, absent)


def describe_columns(tables: dict[str, pl.DataFrame], needed: dict[str, tuple[str, ...]]) -> pl.DataFrame:
    """Return one row per needed column: is it missing (or of a wrong type), and which share of it is null.

    A missing column and a column of an empty table count as wholly null. ``images`` may be empty: whether enough items
    have a picture is a check of its own, with a bound that a catalog without pictures can lower.
    """
    rows = []
    for table_name, names in needed.items():
        table = tables[table_name]
        for name in names:
            present = has_column(table, name, SCHEMAS[table_name][name])
            empty = 0.0 if present and table_name == "images" else 1.0
            null_share = table[name].null_count() / table.height if present and table.height else empty
            rows.append((f"{table_name}.{name}", int(not present), null_share))
    return pl.DataFrame(rows, schema=["column", "missing", "null_share"], orient="row").with_row_index(ROW, 1)


def describe_items(
    items: pl.DataFrame, images: pl.DataFrame, interactions: pl.DataFrame, bounds: ValidateConfig
) -> pl.DataFrame:
    """Return each item, its number of interactions, and flags about its id, pictures, texts and popularity."""
    described = (
        items.with_row_index(ROW, 1)
        .join(interactions.group_by(ITEM_ID).len("interactions"), on=ITEM_ID, how="left", maintain_order="left")
        .join(_summarize_images(images), on=ITEM_ID, how="left", maintain_order="left")
        .with_columns(pl.col("interactions").fill_null(0))
    )
    dominating = flag_dominating(described["interactions"], interactions.height, bounds.max_item_share)
    return described.select(
        ROW,
        ITEM_ID,
        "interactions",
        flag(pl.col(ITEM_ID).is_duplicated()).alias("duplicate_id"),
        flag(pl.col("decodable")).alias("decodable"),
        flag(pl.col("decodable").is_null() & pl.col("image_status").ne_missing(IMAGE_MISSING)).alias("unlisted"),
        flag(pl.col("unknown") | ~pl.col("image_status").is_in(IMAGE_STATUSES)).alias("unknown_status"),
        flag(noise.is_blank(pl.col("title"))).alias("empty_title"),
        flag(noise.is_blank(pl.col("description"))).alias("empty_description"),
        flag(pl.lit(dominating)).alias("dominating"),
    )


def _summarize_images(images: pl.DataFrame) -> pl.DataFrame:
    status = pl.col("status")
    return images.group_by(ITEM_ID).agg(
        (status == IMAGE_OK).fill_null(value=False).any().alias("decodable"),
        (~status.is_in(IMAGE_STATUSES)).fill_null(value=False).any().alias("unknown"),
    )
