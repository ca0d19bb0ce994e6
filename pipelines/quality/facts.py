"""What the gate knows about each row of the prepared tables: frames of ids, counts and 0/1 flags.

Each frame has ``row`` (the 1-based row of the Parquet file it describes), ids as strings, and numbers. No other text of
the catalog passes.
"""

from __future__ import annotations

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID, TIMESTAMP, USER_ID
from pipelines.quality import noise
from pipelines.quality.tables import SCHEMAS, complete_columns, has_column

ROW = "row"
IMAGE_MISSING = "missing"
IMAGE_STATUSES = (IMAGE_OK, IMAGE_MISSING, "undecodable", "too_large", "unsafe_path")

REQUIRED: dict[str, dict[str, tuple[str, ...]]] = {
    "image_columns": {"items": (ITEM_ID, "image_status"), "images": (ITEM_ID, "status")},
    "interaction_columns": {
        "interactions": (USER_ID, ITEM_ID, TIMESTAMP),
        "items": (ITEM_ID,),
        "users": (USER_ID, "status"),
    },
    "text_columns": {"items": (ITEM_ID, "title", "description")},
}
"""Columns each suite needs, by the name of the frame that describes them. None may hold a null."""


def gather_facts(
    tables: dict[str, pl.DataFrame], *, repeats: str, short_words: int, now: int
) -> dict[str, pl.DataFrame]:
    """Return every frame the suites judge, by name.

    Args:
        tables: the prepared tables, see :data:`pipelines.quality.tables.SCHEMAS`.
        repeats: ``first`` when a user may meet an item once, ``all`` when only at different times.
        short_words: a description with fewer words is short.
        now: seconds since 1970 UTC; later timestamps are in the future.
    """
    complete = complete_columns(tables)
    interactions, items = complete["interactions"], complete["items"]
    columns = {name: describe_columns(tables, needed) for name, needed in REQUIRED.items()}
    return columns | {
        "users": describe_users(complete["users"], interactions),
        "items": describe_items(items, complete["images"], interactions, short_words),
        "interactions": describe_interactions(interactions, items, complete["users"], repeats, now),
        "descriptions": describe_descriptions(items),
    }


def describe_columns(tables: dict[str, pl.DataFrame], needed: dict[str, tuple[str, ...]]) -> pl.DataFrame:
    """Return one row per needed column: is it missing (or of a wrong type), and which share of it is null.

    A missing column and a column of an empty table count as wholly null.
    """
    rows = []
    for table_name, names in needed.items():
        table = tables[table_name]
        for name in names:
            present = has_column(table, name, SCHEMAS[table_name][name])
            null_share = table[name].null_count() / table.height if present and table.height else 1.0
            rows.append((f"{table_name}.{name}", int(not present), null_share))
    return pl.DataFrame(rows, schema=["column", "missing", "null_share"], orient="row").with_row_index(ROW, 1)


def describe_users(users: pl.DataFrame, interactions: pl.DataFrame) -> pl.DataFrame:
    """Return each user of the core, or with interactions, and how many interactions they have."""
    return (
        users.with_row_index(ROW, 1)
        .join(_count(interactions, USER_ID), on=USER_ID, how="left", maintain_order="left")
        .with_columns(pl.col("interactions").fill_null(0))
        .filter((pl.col("status") == "core").fill_null(value=False) | (pl.col("interactions") > 0))
        .select(ROW, USER_ID, "interactions")
    )


def describe_items(
    items: pl.DataFrame, images: pl.DataFrame, interactions: pl.DataFrame, short_words: int
) -> pl.DataFrame:
    """Return each item, its number of interactions, and flags about its id, pictures and texts."""
    description = pl.col("description")
    return (
        items.with_row_index(ROW, 1)
        .join(_count(interactions, ITEM_ID), on=ITEM_ID, how="left", maintain_order="left")
        .join(_summarize_images(images), on=ITEM_ID, how="left", maintain_order="left")
        .select(
            ROW,
            ITEM_ID,
            pl.col("interactions").fill_null(0),
            _flag(pl.col(ITEM_ID).is_duplicated()).alias("duplicate_id"),
            _flag(pl.col("decodable")).alias("decodable"),
            _flag(pl.col("decodable").is_null() & pl.col("image_status").ne_missing(IMAGE_MISSING)).alias("unlisted"),
            _flag(pl.col("unknown") | ~pl.col("image_status").is_in(IMAGE_STATUSES)).alias("unknown_status"),
            _flag(noise.is_blank(pl.col("title"))).alias("empty_title"),
            _flag(noise.count_words(description) < short_words).alias("short_description"),
        )
    )


def describe_interactions(
    interactions: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame, repeats: str, now: int
) -> pl.DataFrame:
    """Return each interaction, its timestamp, and flags for what must not or should rarely be."""
    key = [USER_ID, ITEM_ID] if repeats == "first" else [USER_ID, ITEM_ID, TIMESTAMP]
    core = users.filter(pl.col("status") == "core")
    return interactions.with_row_index(ROW, 1).with_columns(
        _flag(pl.struct(key).is_duplicated()).alias("repeated"),
        _flag(~pl.col(USER_ID).is_in(core[USER_ID].implode())).alias("unknown_user"),
        _flag(~pl.col(ITEM_ID).is_in(items[ITEM_ID].implode())).alias("unknown_item"),
        _flag(pl.col(TIMESTAMP) > now).alias("in_future"),
        _flag(pl.struct(USER_ID, TIMESTAMP).is_duplicated()).alias("tied"),
    )


def describe_descriptions(items: pl.DataFrame) -> pl.DataFrame:
    """Return each item whose description is not blank, and flags of noise in it."""
    filled = items.with_row_index(ROW, 1).filter(~noise.is_blank(pl.col("description")))
    return filled.select(
        ROW,
        ITEM_ID,
        _flag(noise.has_html(pl.col("description"))).alias("html"),
        _flag(pl.lit(noise.has_boilerplate(filled["description"]))).alias("boilerplate"),
        _flag(noise.normalize(pl.col("description")).is_duplicated()).alias("duplicated"),
    )


def _count(interactions: pl.DataFrame, key: str) -> pl.DataFrame:
    return interactions.group_by(key).len("interactions")


def _summarize_images(images: pl.DataFrame) -> pl.DataFrame:
    status = pl.col("status")
    return images.group_by(ITEM_ID).agg(
        (status == IMAGE_OK).fill_null(value=False).any().alias("decodable"),
        (~status.is_in(IMAGE_STATUSES)).fill_null(value=False).any().alias("unknown"),
    )


def _flag(condition: pl.Expr) -> pl.Expr:
    """Return 1 where ``condition`` holds, 0 where it does not or is unknown; nulls have guards of their own."""
    return condition.fill_null(value=False).cast(pl.Int8)
