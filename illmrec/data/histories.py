"""Histories as one flat array: what every model, sampler and ranking reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import USER_ID

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one array.

    Args:
        values: ``int32 [total]``: all rows, one after the other.
        offsets: ``int64 [n + 1]``: row r is ``values[offsets[r]:offsets[r + 1]]``.
    """

    values: Indices
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Indices:
        """Return one row."""
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Return ``int64 [n]``: the length of each row."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.integer]) -> Ragged:
        """Return some rows, in the order given."""
        starts = self.offsets[rows]
        return self._gather(starts, self.offsets[np.asarray(rows) + 1] - starts)

    def draw_stretches(self, size: int, rng: np.random.Generator) -> Ragged:
        """Return the rows, of longer ones ``size`` consecutive items; see :func:`draw_starts`."""
        starts = self.offsets[:-1] + draw_starts(self.lengths, size, rng)
        return self._gather(starts, np.minimum(self.lengths, size))

    def _gather(self, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Ragged:
        offsets = np.zeros(len(starts) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[places], offsets)


def draw_starts(lengths: npt.NDArray[np.int64], size: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return ``int64 [n]``: where a stretch of at most ``size`` items starts, in rows of these lengths.

    Rows that fit are taken whole. Of a longer one the stretch is drawn as if it could reach over both ends, and then
    moved inside, so that the first and the last items are in it no less often than others.
    """
    drawn = rng.integers(1 - size, np.maximum(lengths, 1))
    return np.clip(drawn, 0, np.maximum(lengths - size, 0))


def pack_rows(rows: Sequence[Sequence[int] | Indices]) -> Ragged:
    """Pack rows of any lengths, empty ones included."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    parts = [np.asarray(row, dtype=np.int32) for row in rows]
    return Ragged(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32), offsets)


def sort_distinct(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the different values in order, by sorting: ``np.unique`` hashes, which is slow on millions of them."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


@dataclass(frozen=True)
class Sequences:
    """The split of every user there is something to learn from.

    Args:
        user_ids: external ids; position = user_index.
        train: item indices per user, oldest first.
        valid: ``int32 [n]``: validation target.
        test: ``int32 [n]``: first test target, -1 for a user without one.
    """

    user_ids: list[str]
    train: Ragged
    valid: Indices
    test: Indices

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.user_ids)

    def histories(self, target: str) -> Ragged:
        """Return what is known before ``target``: train for ``valid``, train and the validation item for ``test``."""
        if target == "valid":
            return self.train
        rows = np.insert(self.train.values, self.train.offsets[1:], self.valid)
        return Ragged(rows.astype(np.int32), self.train.offsets + np.arange(len(self) + 1))


def ragged_from_column(column: pl.Series) -> Ragged:
    """Return the rows of a Polars list column of integers."""
    offsets = np.zeros(len(column) + 1, dtype=np.int64)
    np.cumsum(column.list.len().to_numpy(), out=offsets[1:])
    values = column.explode().drop_nulls().to_numpy().astype(np.int32)
    return Ragged(values, offsets)


def read_sequences(table: pl.DataFrame) -> Sequences:
    """Return a table of sequences as arrays: what models, rankings and searches read.

    Args:
        table: one row per user (:data:`illmrec.columns.SEQUENCES`), as :func:`illmrec.split_leave_one_out` returns it
            and ``illmrec split`` writes it.

    Example:
        >>> sequences = illmrec.read_sequences(pl.read_parquet("artifacts/shop/split/sequences.parquet"))
        >>> sequences.user_ids
        ['ann', 'bob', 'eve']
        >>> histories = sequences.histories("test")  # training items and the validation target, oldest first
        >>> histories[0].tolist(), sequences.test.tolist()
        ([1, 2, 0], [3, 0, 1])
    """
    return Sequences(
        user_ids=table[USER_ID].to_list(),
        train=ragged_from_column(table["train"]),
        valid=table["valid"].to_numpy().astype(np.int32),
        test=table["test"].fill_null(-1).to_numpy().astype(np.int32),
    )
