"""Leave-one-out split: per user the last interaction is the test target, the second last the validation target.

Leave-one-out is a split per user, not on the clock: another user's training interactions can be younger than this
user's test target. The share of such targets is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from illmrec.columns import ITEM_ID, ITEM_INDEX, NEGATIVES, SEQUENCES, TIMESTAMP, USER_ID, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.data.negatives import sample_negatives
from illmrec.errors import DataError
from illmrec.progress import track

SHORTEST = 3
"""Fewest interactions of a user: one to learn from, one to validate, one to test."""


@dataclass(frozen=True)
class Split:
    """A leave-one-out split.

    Attributes:
        sequences: ``columns.SEQUENCES``, one row per user, sorted by user_id.
        counts: users put aside and other counts for the summary.
        shares: shares and means for the summary.
    """

    sequences: pl.DataFrame
    counts: dict[str, int]
    shares: dict[str, float]


def split_leave_one_out(interactions: pl.DataFrame, catalog: Catalog) -> Split:
    """Split histories leave-one-out.

    Args:
        interactions: ``columns.INTERACTIONS``; row order within a user is history order.
        catalog: turns item ids into indices.

    Raises:
        DataError: when an interaction names an item outside the catalog, or no user has three interactions.
    """
    histories = _gather_histories(interactions, catalog)
    long_enough = histories.filter(pl.col("items").list.len() >= SHORTEST)
    if long_enough.is_empty():
        raise DataError(
            f"none of {histories.height:,} users has {SHORTEST} interactions: one to learn from, two targets.",
            hint="Raise prepare.user_core to 3 or more, or bring more data.",
        )
    sequences = long_enough.with_row_index(USER_INDEX).select(
        pl.col(USER_INDEX).cast(pl.Int32),
        USER_ID,
        train=pl.col("items").list.head(pl.col("items").list.len() - 2),
        valid=pl.col("items").list.get(-2),
        test=pl.col("items").list.get(-1),
    )
    counts = {
        "users": sequences.height,
        "items": len(catalog),
        "train_interactions": int(sequences["train"].list.len().sum()),
        "users_put_aside": histories.height - sequences.height,
    }
    return Split(sequences.cast(pl.Schema(SEQUENCES)), counts, _measure(long_enough))


def draw_negatives(
    sequences: pl.DataFrame, items: int, count: int, *, seed: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Draw each user's sampled candidates.

    Args:
        sequences: ``columns.SEQUENCES``.
        items: number of items in the catalog.
        count: candidates per user.
        seed: seed of the draws.

    Returns:
        ``columns.NEGATIVES`` in the order of ``sequences``, and counts for the summary. A user who leaves fewer than
        ``count`` unseen items gets all of those.
    """
    seen = sequences.select(USER_ID, seen=pl.concat_list("train", "valid", "test"))
    rows = zip(seen[USER_ID], seen["seen"], strict=True)
    drawn = [
        sample_negatives(history.to_numpy(), items, count, seed=seed, user_id=user_id)
        for user_id, history in track(rows, "negatives", total=seen.height, unit="user")
    ]
    table = pl.DataFrame({USER_INDEX: sequences[USER_INDEX], "negatives": drawn}, schema=NEGATIVES)
    short = sum(candidates.size < count for candidates in drawn)
    return table, {"negatives_per_user": count, "users_with_fewer_negatives": short}


def _gather_histories(interactions: pl.DataFrame, catalog: Catalog) -> pl.DataFrame:
    """Return one row per user, sorted by id: item indices and timestamps, oldest first."""
    indices = pl.Series(ITEM_INDEX, catalog.index_items(interactions[ITEM_ID]))
    indexed = interactions.with_columns(indices)
    unknown = indexed.filter(pl.col(ITEM_INDEX) < 0)
    if not unknown.is_empty():
        message = f"{unknown.height:,} interactions name an item outside the catalog, such as {unknown[ITEM_ID][0]!r}."
        raise DataError(message, hint="Run `illmrec prepare` again: the tables do not belong together.")
    return (
        indexed.group_by(USER_ID, maintain_order=True)
        .agg(items=pl.col(ITEM_INDEX), times=pl.col(TIMESTAMP))
        .sort(USER_ID)
    )


def _measure(histories: pl.DataFrame) -> dict[str, float]:
    items, times = pl.col("items"), pl.col("times")
    facts = histories.select(
        length=items.list.len() - 2,
        tied=times.list.get(-1) == times.list.get(-2),
        repeated=items.list.head(items.list.len() - 1).list.contains(items.list.get(-1)),
        test_time=times.list.get(-1),
        train_end=times.list.get(-3),
    )
    return {
        "mean_history_length": _mean(facts["length"]),
        "median_history_length": float(facts.select(pl.median("length")).item()),
        "tie_share": _mean(facts["tied"]),
        "repeat_target_share": _mean(facts["repeated"]),
        "test_before_others_training_share": _mean(facts["test_time"] < _latest_of_others(facts["train_end"])),
    }


def _latest_of_others(train_end: pl.Series) -> pl.Series:
    """Return, for each user, the latest training timestamp of any other user; of a single user, its own."""
    top = train_end.top_k(2).sort(descending=True)
    is_holder = train_end == top[0]
    return pl.select(pl.when(is_holder).then(top[-1]).otherwise(top[0])).to_series()


def _mean(values: pl.Series) -> float:
    return float(values.to_numpy().mean())
