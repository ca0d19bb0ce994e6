"""Whom a night recommends to, and what was known of each before that day."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.histories import Ragged, ragged_from_column
from illmrec.scoring.output import choose_partition
from illmrec.scoring.rows import FloatArray, Part
from pipelines.project.shelf import Shelf


@dataclass(frozen=True)
class Audience:
    """Whom to recommend to, and what is known of each.

    Args:
        user_ids: every known user, sorted.
        histories: per user the known items of the catalog, oldest first.
        popularity: ``int64 [n_items]``: known interactions per item.
        newest: timestamp of the newest known interaction, seconds since 1970 UTC; None where there is none.
    """

    user_ids: list[str]
    histories: Ragged
    popularity: npt.NDArray[np.int64]
    newest: int | None

    @property
    def warm(self) -> npt.NDArray[np.int64]:
        """``int64``: users with a known item of the catalog."""
        return np.flatnonzero(self.histories.lengths > 0)

    @property
    def cold(self) -> npt.NDArray[np.int64]:
        """``int64``: users without any."""
        return np.flatnonzero(self.histories.lengths == 0)


def read_interactions(shelf: Shelf, day: datetime.date) -> pl.DataFrame:
    """Return every known interaction before ``day`` (UTC), below-core users included, in history order."""
    midnight = datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC).timestamp()
    table = pl.concat([shelf.interactions, shelf.interactions_below_core])
    # The sort is stable, so the order of ties that `prepare` decided stays.
    return table.filter(pl.col(TIMESTAMP) < int(midnight)).sort(USER_ID, TIMESTAMP, maintain_order=True)


def gather_audience(shelf: Shelf, interactions: pl.DataFrame) -> Audience:
    """Return all users with their known items of the catalog."""
    catalog, users = shelf.catalog, shelf.users.sort(USER_ID)
    placed = interactions.with_columns(index=pl.Series(catalog.index_items(interactions[ITEM_ID])))
    known = placed.filter(pl.col("index") >= 0).unique([USER_ID, "index"], keep="last", maintain_order=True)
    grouped = known.group_by(USER_ID, maintain_order=True).agg("index")
    joined = users.join(grouped, on=USER_ID, how="left", maintain_order="left")
    histories = ragged_from_column(joined["index"].fill_null(pl.lit([], dtype=pl.List(pl.Int32))))
    popularity = np.bincount(histories.values, minlength=len(catalog))
    newest = interactions[TIMESTAMP].max()
    return Audience(users[USER_ID].to_list(), histories, popularity, newest)  # type: ignore[arg-type]


def cut_into_parts(audience: Audience, hidden: FloatArray, partitions: int) -> Iterator[Part]:
    """Yield the users of every part: a stable hash of the id decides, whatever engine scores them.

    Args:
        audience: whom for.
        hidden: ``float32 [n_warm, d_llm]``, in the audience's order.
        partitions: number of parts.
    """
    numbers = np.array([choose_partition(user, partitions) for user in audience.user_ids], dtype=np.int64)
    warm, cold = audience.warm, audience.cold
    for number in range(partitions):
        rows = np.flatnonzero(numbers[warm] == number)
        yield Part(
            number,
            [audience.user_ids[user] for user in warm[rows]],
            hidden[rows],
            audience.histories.take(warm[rows]),
            [audience.user_ids[user] for user in cold[numbers[cold] == number]],
        )
