"""Interactions as arrays of codes: 16 bytes each, whatever the length of the ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import INTERACTIONS, ITEM_ID, REJECTED, TIMESTAMP, USER_ID
from illmrec.data.files.ids import BLANK, CONTROL, GOOD, LINE_BREAK, TOO_LONG, Codes, IdTable
from illmrec.errors import DataError
from illmrec.seeds import derive_seed_of_each

LATEST_TIMESTAMP = 253_402_300_799
"""Last second of the year 9999; a larger value is most likely in milliseconds."""

MAX_REJECTED = 1_000_000
"""A file with more malformed rows is another file; to list them all would fill the memory."""

FEW_ROWS = 1_000_000
"""Rows gathered before ids are looked up, which costs time in the number of ids known."""


@dataclass(frozen=True)
class CodedInteractions:
    """Interactions in file order, duplicates included.

    Attributes:
        users: ``uint32 [n]``: position in ``user_ids``.
        items: ``uint32 [n]``: position in ``item_ids``.
        times: ``int64 [n]``: seconds since 1970 UTC.
        user_ids: different user ids, sorted; each has an interaction.
        item_ids: different item ids, sorted; each has an interaction.
    """

    users: Codes
    items: Codes
    times: npt.NDArray[np.int64]
    user_ids: pl.Series
    item_ids: pl.Series

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.times)

    def select(self, chosen: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> CodedInteractions:
        """Return the interactions at ``chosen`` positions; ids that are left without any stay."""
        return CodedInteractions(
            self.users[chosen], self.items[chosen], self.times[chosen], self.user_ids, self.item_ids
        )

    def sample_users(self, count: int, seed: int) -> CodedInteractions:
        """Return the interactions of a sample of the users, ids of others forgotten.

        A hash of seed and user id chooses, so that a larger sample holds a smaller one and no other user's coming or
        going changes who of the rest is in it; but for ties, exactly ``count`` users, or all there are.
        """
        if count >= len(self.user_ids):
            return self
        hashes = derive_seed_of_each(self.user_ids, seed, "sample of users")
        wanted = hashes <= np.partition(hashes, count - 1)[count - 1]
        chosen = self.select(wanted[self.users])
        users, user_ids = _sort_ids(chosen.users, self.user_ids)
        items, item_ids = _sort_ids(chosen.items, self.item_ids)
        return CodedInteractions(users, items, chosen.times, user_ids, item_ids)

    def decode(self) -> pl.DataFrame:
        """Return ``columns.INTERACTIONS`` in the same order."""
        columns = [
            self.user_ids.gather(self.users).alias(USER_ID),
            self.item_ids.gather(self.items).alias(ITEM_ID),
            pl.Series(TIMESTAMP, self.times),
        ]
        return pl.DataFrame(columns, schema=INTERACTIONS)


def code_interactions(interactions: pl.DataFrame) -> CodedInteractions:
    """Return ``columns.INTERACTIONS`` without nulls as codes, in the same order."""
    gathering = InteractionCoder("")
    gathering.add(interactions[USER_ID], interactions[ITEM_ID], interactions[TIMESTAMP])
    return gathering.finish()[0]


class InteractionCoder:
    """Gathers the interactions of one file, block by block, and sets malformed rows aside."""

    def __init__(self, file: str, *, user: str = "user", item: str = "item", time: str = "timestamp") -> None:
        """Prepare to read ``file``; reasons call a row's parts by the given words."""
        self._file = file
        self._words = (user, item)
        self._time = time
        self._tables = (IdTable(), IdTable())
        self._codes: tuple[list[Codes], list[Codes]] = ([], [])
        self._bad = 0
        self._times: list[npt.NDArray[np.int64]] = []
        self._rejected: list[pl.DataFrame] = [pl.DataFrame(schema=REJECTED)]

    def add(
        self,
        users: pl.Series,
        items: pl.Series,
        times: pl.Series,
        *,
        rows: npt.NDArray[np.int64] | None = None,
        ragged: pl.Series | None = None,
    ) -> None:
        """Add a block of rows.

        Args:
            users: ``String [n]``: user ids, null where missing.
            items: ``String [n]``: item ids, null where missing.
            times: ``Int64 [n]``: seconds since 1970 UTC, null where unreadable.
            rows: ``int64 [n]``: 1-based rows of the file; from 1 when not given.
            ragged: ``Boolean [n]``: rows with too many fields.
        """
        codes = [table.encode(ids) for table, ids in zip(self._tables, (users, items), strict=True)]
        faults = [table.faults[code] for table, code in zip(self._tables, codes, strict=True)]
        seconds = times.fill_null(-1).to_numpy()
        good = (faults[0] == GOOD) & (faults[1] == GOOD) & (seconds >= 0) & (seconds <= LATEST_TIMESTAMP)
        if ragged is not None and ragged.any():
            good &= ~ragged.to_numpy()
        if not good.all():
            rows = np.arange(1, len(users) + 1) if rows is None else rows
            bad = ~good
            missing = times.is_null().to_numpy()[bad]
            wide = np.zeros(len(missing), np.bool_) if ragged is None else ragged.to_numpy()[bad]
            reasons = self._explain(wide, faults[0][bad], faults[1][bad], missing)
            self.reject(rows[bad], reasons)
            codes, seconds = [code[good] for code in codes], seconds[good]
        for store, code in zip(self._codes, codes, strict=True):
            store.append(code)
        self._times.append(seconds)

    def reject(self, rows: npt.ArrayLike, reasons: pl.Series | list[str]) -> None:
        """Set rows aside that could not even be told apart into user, item and time."""
        table = pl.DataFrame({"row": rows, "reason": reasons}, schema_overrides={"row": pl.Int64, "reason": pl.String})
        self._bad += table.height
        refuse_flood(self._file, self._bad, table)
        self._rejected.append(table.select(file=pl.lit(self._file), row="row", reason="reason"))

    def finish(self) -> tuple[CodedInteractions, pl.DataFrame]:
        """Return the good interactions and ``columns.REJECTED`` sorted by row; call it once."""
        rejected = pl.concat(self._rejected).sort("row", maintain_order=True)
        times = np.concatenate([*self._times, np.zeros(0, np.int64)])
        self._times.clear()
        coded = []
        for table, store in zip(self._tables, self._codes, strict=True):
            codes = np.concatenate([*store, np.zeros(0, np.uint32)])
            store.clear()
            coded.append(_sort_ids(codes, table.ids))
        (users, user_ids), (items, item_ids) = coded
        return CodedInteractions(users, items, times, user_ids, item_ids), rejected

    def _explain(
        self,
        ragged: npt.NDArray[np.bool_],
        users: npt.NDArray[np.uint8],
        items: npt.NDArray[np.uint8],
        missing: npt.NDArray[np.bool_],
    ) -> pl.Series:
        table = pl.DataFrame({"ragged": ragged, "user": users, "item": items, "missing": missing})
        user, item = pl.col("user"), pl.col("item")
        return table.select(
            pl.when("ragged")
            .then(pl.lit("too many fields"))
            .when(user == BLANK)
            .then(pl.lit(f"no {self._words[0]}"))
            .when(item == BLANK)
            .then(pl.lit(f"no {self._words[1]}"))
            .when((user == LINE_BREAK) | (item == LINE_BREAK))
            .then(pl.lit("line break in an id"))
            .when((user == CONTROL) | (item == CONTROL))
            .then(pl.lit("control character in an id"))
            .when((user == TOO_LONG) | (item == TOO_LONG))
            .then(pl.lit("id too long"))
            .when("missing")
            .then(pl.lit(f"{self._time} missing or not readable"))
            .otherwise(pl.lit(f"{self._time} out of range"))
        ).to_series()


def refuse_flood(file: str, bad: int, latest: pl.DataFrame) -> None:
    """Refuse a file with so many malformed rows that it must be another one.

    Args:
        file: its name.
        bad: how many rows of it are malformed.
        latest: some of them, with ``row`` and ``reason``.

    Raises:
        DataError: when they are more than :data:`MAX_REJECTED`.
    """
    if bad > MAX_REJECTED:
        row, reason = latest.row(0, named=True)["row"], latest["reason"][0]
        message = f"more than {MAX_REJECTED:,} rows are malformed, this one among them: {reason}."
        raise DataError(message, path=file, row=row, hint="Fetch the file again.")


def _sort_ids(codes: Codes, ids: pl.Series) -> tuple[Codes, pl.Series]:
    """Number the ids that occur in ``codes`` anew, in sorted order, so that codes do not depend on the order read."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(ids)))
    kept = ids.gather(used)
    order = kept.arg_sort().to_numpy()
    renumbered = np.zeros(len(ids), dtype=np.uint32)
    renumbered[used[order]] = np.arange(len(used), dtype=np.uint32)
    return renumbered[codes], kept.gather(order).rename("id")
