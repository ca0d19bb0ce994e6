"""Global-time split: what lies before one moment is learned from, what lies after it is tested.

Leave-one-out lets a model learn from interactions that are younger than a test target, so it knows what becomes popular
later and which items will be taken together. Here nothing that is learned from, validated on or counted is younger than
any test target. Users and items are those of that moment: who and what appears only later is put aside and counted.

Each user's last interaction before the moment is the validation target. Among these, one user's may be older than what
another user's training holds, so the choice of an epoch still sees the clock that way; the test does not.
"""

from __future__ import annotations

import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_INDEX, SEQUENCES, TARGETS, TIMESTAMP, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged
from illmrec.data.lists import build_lists
from illmrec.data.splitting.leave_one_out import Histories, Split, gather_histories
from illmrec.errors import DataError

FEWEST_KNOWN = 2
"""Fewest interactions of a user before the moment: one to learn from, one to validate."""

Positions = npt.NDArray[np.int64]


def choose_cutoff(interactions: pl.DataFrame, share: float) -> int:
    """Return the moment, in seconds since 1970 UTC, from which on about ``share`` of all interactions lie.

    Interactions of one second are never divided, so the share is the nearest from above that such a moment allows.
    """
    times = np.sort(interactions[TIMESTAMP].to_numpy())
    return int(times[min(int(len(times) * (1.0 - share)), len(times) - 1)]) if len(times) else 0


def split_global_time(interactions: pl.DataFrame, catalog: Catalog, cutoff: int) -> Split:
    """Split at one moment for all users.

    Args:
        interactions: ``columns.INTERACTIONS``; row order within a user is history order.
        catalog: turns item ids into indices.
        cutoff: seconds since 1970 UTC; an interaction at that second or later is tested.

    Returns:
        Users with at least two interactions before the moment. Each one's different items from then on are test
        targets, those apart that none of these users had taken before.

    Raises:
        DataError: when an interaction names an item outside the catalog, no user has two interactions before the
            moment, or none of these has a target.
    """
    everyone = gather_histories(interactions, catalog)
    owners = np.repeat(np.arange(len(everyone.user_ids)), everyone.items.lengths)
    before = everyone.times < cutoff
    lengths = np.bincount(owners[before], minlength=len(everyone.user_ids))
    kept = lengths >= FEWEST_KNOWN
    later = np.flatnonzero(~before & kept[owners])
    rows = np.flatnonzero(before & kept[owners])
    targets = _pick_targets(everyone, owners, later, rows, len(catalog))
    if not len(targets):
        raise _refuse(everyone, cutoff, int(kept.sum()))
    users = np.cumsum(kept) - 1
    known = Ragged(everyone.items.values[rows], np.append(0, np.cumsum(lengths[kept])).astype(np.int64))
    pairs = pl.DataFrame(
        {USER_INDEX: users[owners[targets]].astype(np.int32), ITEM_INDEX: everyone.items.values[targets]},
        schema=TARGETS,
    )
    sequences = _tabulate(everyone.user_ids.filter(pl.Series(kept)), known, pairs)
    counts = {
        "users": int(kept.sum()),
        "items": len(catalog),
        "train_interactions": len(rows) - int(kept.sum()),
        "users_put_aside": int((~kept).sum()),
        "test_targets": len(targets),
        "users_with_targets": pairs[USER_INDEX].n_unique(),
        "later_interactions_put_aside": len(later) - len(targets),
    }
    return Split(sequences, pairs, counts, _measure(everyone, known, rows, targets, pairs))


def _pick_targets(everyone: Histories, owners: Positions, later: Positions, known: Positions, items: int) -> Positions:
    """Return positions of the test targets: of each user's later items those known before, each once, in order."""
    is_known = np.zeros(items, dtype=np.bool_)
    is_known[everyone.items.values[known]] = True
    later = later[is_known[everyone.items.values[later]]]
    pairs = owners[later] * np.int64(items) + everyone.items.values[later]
    _, first = np.unique(pairs, return_index=True)
    return np.asarray(later[np.sort(first)])


def _tabulate(user_ids: pl.Series, known: Ragged, targets: pl.DataFrame) -> pl.DataFrame:
    """Return ``columns.SEQUENCES``: all known items but the last, the last, and the first target where there is one."""
    users = len(user_ids)
    last = known.offsets[1:] - 1
    train = Ragged(np.delete(known.values, last), known.offsets - np.arange(users + 1))
    first = targets.unique(USER_INDEX, keep="first", maintain_order=True)
    columns = {
        USER_INDEX: pl.Series(np.arange(users, dtype=np.int32)),
        "user_id": user_ids,
        "train": build_lists(pl.Series(train.values), train.offsets),
        "valid": pl.Series(known.values[last]),
    }
    table = pl.DataFrame(columns).join(first, on=USER_INDEX, how="left", maintain_order="left")
    return table.rename({ITEM_INDEX: "test"}).select(pl.col(name).cast(kind) for name, kind in SEQUENCES.items())


def _measure(
    everyone: Histories, known: Ragged, rows: Positions, targets: Positions, pairs: pl.DataFrame
) -> dict[str, float]:
    lengths = known.lengths
    owners = np.repeat(np.arange(len(known), dtype=np.int32), lengths)
    held = pl.DataFrame({USER_INDEX: owners, ITEM_INDEX: known.values}, schema=TARGETS)
    repeated = pairs.join(held.unique(), on=[USER_INDEX, ITEM_INDEX], how="semi").height
    return {
        "mean_history_length": float((lengths - 1).mean()),
        "median_history_length": float(np.median(lengths - 1)),
        "repeat_target_share": repeated / len(targets),
        "test_before_others_training_share": float((everyone.times[targets] < everyone.times[rows].max()).mean()),
    }


def _refuse(everyone: Histories, cutoff: int, users: int) -> DataError:
    first, last = int(everyone.times.min()), int(everyone.times.max())
    return DataError(
        f"no test target lies at or after {name_moment(cutoff)}: {users:,} of {len(everyone.user_ids):,} users have "
        f"{FEWEST_KNOWN} interactions before it; all lie between {name_moment(first)} and {name_moment(last)}.",
        hint="Set split.cutoff between these days, or split.method to leave_one_out where timestamps are no times.",
    )


def name_moment(seconds: int) -> str:
    """Return a moment as a date and time in UTC."""
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
