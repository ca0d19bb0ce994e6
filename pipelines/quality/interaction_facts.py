"""What the gate knows about each interaction and each user: clocks, repeats, and counts no person reaches."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from pipelines.parameters.data import ValidateConfig
from pipelines.quality.flags import ROW, flag

MILLISECONDS_FROM = 100_000_000_000
"""As seconds this is the year 5138; as milliseconds it is 1973. Larger timestamps are not in seconds."""

OUTSIZED = 10
"""A count dominates only beyond this multiple of the median: among few users or items a large share is ordinary."""

SECONDS_PER_DAY = 86_400


def describe_interactions(
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    users: pl.DataFrame,
    bounds: ValidateConfig,
    *,
    repeats: str,
    now: int,
) -> pl.DataFrame:
    """Return each interaction, its timestamp, and flags for what must not or should rarely be.

    Args:
        interactions: the core's interactions.
        items: the items table.
        users: the users table.
        bounds: the earliest plausible year.
        repeats: ``first`` when a user may meet an item once, ``all`` when only at different times.
        now: seconds since 1970 UTC.
    """
    key = [USER_ID, ITEM_ID] if repeats == "first" else [USER_ID, ITEM_ID, TIMESTAMP]
    core = users.filter(pl.col("status") == "core")
    earliest = int(datetime(bounds.earliest_year, 1, 1, tzinfo=UTC).timestamp())
    time = pl.col(TIMESTAMP)
    return interactions.with_row_index(ROW, 1).with_columns(
        flag(pl.struct(key).is_duplicated()).alias("repeated"),
        flag(~pl.col(USER_ID).is_in(core[USER_ID].implode())).alias("unknown_user"),
        flag(~pl.col(ITEM_ID).is_in(items[ITEM_ID].implode())).alias("unknown_item"),
        flag((time > now) & (time < MILLISECONDS_FROM)).alias("in_future"),
        flag(time >= MILLISECONDS_FROM).alias("in_milliseconds"),
        flag((time >= 0) & (time < earliest)).alias("too_early"),
        flag(pl.struct(USER_ID, TIMESTAMP).is_duplicated()).alias("tied"),
    )


def describe_users(users: pl.DataFrame, interactions: pl.DataFrame, bounds: ValidateConfig) -> pl.DataFrame:
    """Return each user of the core, or with interactions, how many they have, in all and on their busiest day."""
    counted = (
        users.with_row_index(ROW, 1)
        .join(interactions.group_by(USER_ID).len("interactions"), on=USER_ID, how="left", maintain_order="left")
        .join(_count_busiest_day(interactions), on=USER_ID, how="left", maintain_order="left")
        .with_columns(pl.col("interactions", "busiest_day").fill_null(0))
        .filter((pl.col("status") == "core").fill_null(value=False) | (pl.col("interactions") > 0))
    )
    dominating = flag_dominating(counted["interactions"], interactions.height, bounds.max_user_share)
    hurried = pl.col("busiest_day") > bounds.max_daily_interactions
    return counted.select(
        ROW, USER_ID, "interactions", "busiest_day", flag(hurried | pl.lit(dominating)).alias("inhuman")
    )


def flag_dominating(counts: pl.Series, total: int, share: float) -> pl.Series:
    """Return whether each count is above ``share`` of ``total`` and outsized beside the median."""
    middle = float(np.median(counts.to_numpy())) if len(counts) else 0.0
    return (counts > share * total) & (counts > OUTSIZED * middle)


def _count_busiest_day(interactions: pl.DataFrame) -> pl.DataFrame:
    days = interactions.group_by(USER_ID, pl.col(TIMESTAMP) // SECONDS_PER_DAY).len()
    return days.group_by(USER_ID).agg(pl.col("len").max().alias("busiest_day"))
