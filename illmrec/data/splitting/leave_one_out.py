"""Leave-one-out split: per user the last interaction is the test target, the second last the validation target.

Leave-one-out is a split per user, not on the clock: another user's training interactions can be younger than this
user's test target. The share of such targets is reported; :mod:`illmrec.data.splitting.global_time` has none.
Everything works on flat arrays, for millions of users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, ITEM_INDEX, NEGATIVES, SEQUENCES, TIMESTAMP, USER_ID, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Indices, Ragged, ragged_from_column
from illmrec.data.lists import build_lists
from illmrec.data.splitting.negatives import sample_negatives
from illmrec.data.splitting.popular_negatives import sample_popular_negatives
from illmrec.errors import DataError
from illmrec.seeds import derive_seed_of_each

SHORTEST = 3
"""Fewest interactions of a user: one to learn from, one to validate, one to test."""

Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """What is learned from and what is tested.

    Attributes:
        sequences: ``columns.SEQUENCES``, one row per user, sorted by user_id.
        targets: ``columns.TARGETS``.
        counts: users put aside and other counts for the summary.
        shares: shares and means for the summary.
    """

    sequences: pl.DataFrame
    targets: pl.DataFrame
    counts: dict[str, int]
    shares: dict[str, float]


@dataclass(frozen=True)
class Histories:
    """Whole histories, sorted by user id.

    Attributes:
        user_ids: ``String [n]``.
        items: item indices of each user, oldest first.
        times: ``int64 [total]``: timestamps, in the order of ``items.values``.
    """

    user_ids: pl.Series
    items: Ragged
    times: Times


def split_leave_one_out(interactions: pl.DataFrame, catalog: Catalog) -> Split:
    """Split histories leave-one-out: the last interaction is the test target, the second last the validation target.

    Users with fewer than three interactions are put aside and counted.

    Args:
        interactions: one row per interaction (:data:`illmrec.columns.INTERACTIONS`); row order within a user is history
            order, as :func:`illmrec.select_core` returns it.
        catalog: turns item ids into indices.

    Raises:
        DataError: when an interaction names an item outside the catalog, or no user has three interactions.

    Example:
        >>> catalog = illmrec.Catalog(pl.read_parquet("artifacts/shop/prepared/items.parquet"))
        >>> interactions = pl.read_parquet("artifacts/shop/prepared/interactions.parquet")
        >>> split = illmrec.split_leave_one_out(interactions, catalog)
        >>> split.sequences.row(0, named=True)
        {'user_index': 0, 'user_id': 'ann', 'train': [1, 2], 'valid': 0, 'test': 3}
    """
    everyone = gather_histories(interactions, catalog)
    histories = _keep_long(everyone)
    users = len(histories.user_ids)
    if not users:
        raise DataError(
            f"none of {len(everyone.user_ids):,} users has {SHORTEST} interactions: one to learn from, two targets.",
            hint="Raise prepare.user_core to 3 or more, or bring more data.",
        )
    items, ends = histories.items, histories.items.offsets[1:]
    is_target = np.zeros(len(items.values), dtype=np.bool_)
    is_target[ends - 1] = is_target[ends - 2] = True
    train = Ragged(items.values[~is_target], items.offsets - 2 * np.arange(users + 1))
    columns = {
        USER_INDEX: pl.Series(np.arange(users, dtype=np.int32)),
        USER_ID: histories.user_ids,
        "train": build_lists(pl.Series(train.values), train.offsets),
        "valid": pl.Series(items.values[ends - 2]),
        "test": pl.Series(items.values[ends - 1]),
    }
    counts = {
        "users": users,
        "items": len(catalog),
        "train_interactions": len(train.values),
        "users_put_aside": len(everyone.user_ids) - users,
        "test_targets": users,
    }
    sequences = pl.DataFrame(columns, schema=SEQUENCES)
    targets = sequences.select(USER_INDEX, pl.col("test").alias(ITEM_INDEX))
    return Split(sequences, targets, counts, _measure(histories))


def draw_negatives(
    sequences: pl.DataFrame,
    items: int,
    count: int,
    *,
    seed: int,
    targets: pl.DataFrame | None = None,
    known: Indices | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Draw each user's sampled candidates, uniformly.

    Args:
        sequences: ``columns.SEQUENCES``.
        items: number of items in the catalog.
        count: candidates per user.
        seed: seed of the draws; a user's draw depends on it, the user's id and the user's items only.
        targets: ``columns.TARGETS``, where users have other targets than those of ``sequences``.
        known: the items that can be drawn, ascending, all items of ``sequences`` and ``targets`` among them; None for
            the whole catalog.

    Returns:
        ``columns.NEGATIVES`` in the order of ``sequences``, and counts for the summary. A user who leaves fewer than
        ``count`` unseen items gets all of those.
    """
    seen = _gather_seen(sequences, targets)
    seeds = derive_seed_of_each(sequences[USER_ID], seed, "negatives")
    if known is None:
        drawn = sample_negatives(seen, items, count, seeds)
    else:
        places = Ragged(np.searchsorted(known, seen.values).astype(np.int32), seen.offsets)
        drawn = sample_negatives(places, len(known), count, seeds)
        drawn = Ragged(known[drawn.values], drawn.offsets)
    facts = {"negatives_per_user": count, "users_with_fewer_negatives": int((drawn.lengths < count).sum())}
    return _tabulate_negatives(sequences, drawn), facts


def draw_popular_negatives(
    sequences: pl.DataFrame, items: int, count: int, *, seed: int, targets: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Draw each user's sampled candidates in proportion to training interactions; arguments as :func:`draw_negatives`.

    A user's draw depends on the counts of the training interactions as well, and so on all users.
    """
    counts = np.bincount(ragged_from_column(sequences["train"]).values, minlength=items).astype(np.float64)
    seeds = derive_seed_of_each(sequences[USER_ID], seed, "popular negatives")
    drawn = sample_popular_negatives(_gather_seen(sequences, targets), counts, count, seeds)
    facts = {"users_with_fewer_popular_negatives": int((drawn.lengths < count).sum())}
    return _tabulate_negatives(sequences, drawn), facts


def _gather_seen(sequences: pl.DataFrame, targets: pl.DataFrame | None) -> Ragged:
    """Return every item each user interacted with, test targets included; repeats count."""
    parts = [pl.col("train"), pl.concat_list("valid")]
    if targets is None:
        return ragged_from_column(sequences.select(pl.concat_list(*parts, pl.concat_list("test"))).to_series())
    own = targets.group_by(USER_INDEX, maintain_order=True).agg(pl.col(ITEM_INDEX).alias("targets"))
    joined = sequences.join(own, on=USER_INDEX, how="left", maintain_order="left")
    empty = pl.lit([], dtype=pl.List(pl.Int32))
    return ragged_from_column(joined.select(pl.concat_list(*parts, pl.col("targets").fill_null(empty))).to_series())


def _tabulate_negatives(sequences: pl.DataFrame, drawn: Ragged) -> pl.DataFrame:
    columns = {USER_INDEX: sequences[USER_INDEX], "negatives": build_lists(pl.Series(drawn.values), drawn.offsets)}
    return pl.DataFrame(columns, schema=NEGATIVES)


def gather_histories(interactions: pl.DataFrame, catalog: Catalog) -> Histories:
    """Return each user's interactions side by side, users in order of their ids."""
    if not interactions[USER_ID].is_sorted():  # `prepare` writes them sorted
        interactions = interactions.sort(USER_ID, maintain_order=True)
    items = catalog.index_items(interactions[ITEM_ID])
    unknown = np.flatnonzero(items < 0)
    if unknown.size:
        example = interactions[ITEM_ID][int(unknown[0])]
        message = f"{unknown.size:,} interactions name an item outside the catalog, such as {example!r}."
        raise DataError(message, hint="Run `illmrec prepare` again: the tables do not belong together.")
    users = interactions[USER_ID]
    starts = (users != users.shift(1)).fill_null(value=True).arg_true()
    offsets = np.append(starts.to_numpy(), len(users)).astype(np.int64)
    return Histories(users.gather(starts), Ragged(items, offsets), interactions[TIMESTAMP].to_numpy())


def _keep_long(histories: Histories) -> Histories:
    """Return the histories of users with enough interactions."""
    lengths = histories.items.lengths
    long_enough = lengths >= SHORTEST
    if long_enough.all():
        return histories
    kept = np.repeat(long_enough, lengths)
    offsets = np.append(0, np.cumsum(lengths[long_enough])).astype(np.int64)
    items = Ragged(histories.items.values[kept], offsets)
    return Histories(histories.user_ids.filter(pl.Series(long_enough)), items, histories.times[kept])


def _measure(histories: Histories) -> dict[str, float]:
    items, times = histories.items, histories.times
    lengths, last = items.lengths, items.offsets[1:] - 1
    equals_target = items.values == np.repeat(items.values[last], lengths)
    equals_target[last] = False
    repeated = np.add.reduceat(equals_target, items.offsets[:-1], dtype=np.int64) > 0
    return {
        "mean_history_length": float((lengths - 2).mean()),
        "median_history_length": float(np.median(lengths - 2)),
        "tie_share": float((times[last] == times[last - 1]).mean()),
        "repeat_target_share": float(repeated.mean()),
        "test_before_others_training_share": float((times[last] < _latest_of_others(times[last - 2])).mean()),
    }


def _latest_of_others(train_end: Times) -> Times:
    """Return, for each user, the latest training timestamp of any other user; of a single user, its own."""
    top = np.sort(np.partition(train_end, -2)[-2:]) if len(train_end) > 1 else train_end
    latest: Times = np.where(train_end == top[-1], top[0], top[-1])
    return latest
