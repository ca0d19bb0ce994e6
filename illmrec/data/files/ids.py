"""External ids as small numbers while a file is read, so that no id is held once per interaction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.files.hash_index import UNKNOWN, HashIndex
from illmrec.errors import DataError

Codes = npt.NDArray[np.uint32]

MAX_ID_BYTES = 512
"""No publisher's id comes near; a longer one is a misread line."""

GOOD, BLANK, LINE_BREAK, CONTROL, TOO_LONG = range(5)
"""What can be wrong with an id: nothing, only white space, a line break, another control character, its length."""

_SEEDS = (11, 12)


class IdTable:
    """Numbers ids in the order they are first seen.

    Ids are looked up by a 64-bit hash. A second, independent hash is compared on each look-up, so two ids are never
    taken for one: should their hashes agree, which a billion catalogs would not see, they are refused.
    """

    def __init__(self) -> None:
        self._index = HashIndex()
        self._checks = np.zeros(0, dtype=np.uint64)
        self._ids: list[pl.Series] = []
        self._faults = np.zeros(0, dtype=np.uint8)

    def __len__(self) -> int:
        """Return the number of different ids seen."""
        return len(self._index)

    @property
    def ids(self) -> pl.Series:
        """Return ``String [n]``: each id, at the position of its code."""
        return pl.concat(self._ids) if self._ids else pl.Series([], dtype=pl.String)

    @property
    def faults(self) -> npt.NDArray[np.uint8]:
        """Return ``uint8 [n]``: what is wrong with each id, :data:`GOOD` where nothing is."""
        return self._faults

    def encode(self, ids: pl.Series) -> Codes:
        """Return ``uint32 [n]``: the code of each id; null counts as the empty id.

        Meant for blocks of 100,000 ids and more: a call that meets new ids costs time in the number of ids known.

        Raises:
            DataError: when two different ids have the same hash.
        """
        ids = ids.fill_null("") if ids.null_count() else ids
        hashes, checks = (ids.hash(seed).to_numpy() for seed in _SEEDS)
        codes = self._index.find(hashes)
        unknown = np.flatnonzero(codes == UNKNOWN)
        if unknown.size:
            rows = unknown[_find_first(hashes[unknown])]
            self._index.add(hashes[rows])
            self._checks = np.concatenate([self._checks, checks[rows]])
            self._keep(ids.gather(rows))
            codes[unknown] = self._index.find(hashes[unknown])
        if not np.array_equal(self._checks[codes], checks):
            raise DataError("two different ids have the same hash.", hint="Change one of them.")
        return codes.view(np.uint32)

    def _keep(self, fresh: pl.Series) -> None:
        # Through Arrow, because a gathered column would keep the memory of the whole block it came from.
        texts = pl.Series("id", fresh.to_arrow(), dtype=pl.String)
        self._ids.append(texts)
        self._faults = np.concatenate([self._faults, judge_ids(texts)])


def _find_first(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the position at which each different hash stands first, in order."""
    table = pl.DataFrame({"hash": hashes}).with_row_index("row")
    rows = table.unique("hash", keep="first", maintain_order=True)["row"].to_numpy()
    return rows.astype(np.int64)


def judge_ids(ids: pl.Series) -> npt.NDArray[np.uint8]:
    """Return ``uint8 [n]``: what is wrong with each id."""
    text = pl.col("id")
    fault = (
        pl.when(text.is_null() | (text.str.strip_chars() == ""))
        .then(BLANK)
        .when(text.str.contains(r"[\r\n]"))
        .then(LINE_BREAK)
        .when(text.str.contains(r"[\x00-\x1f\x7f]"))
        .then(CONTROL)
        .when(text.str.len_bytes() > MAX_ID_BYTES)
        .then(TOO_LONG)
        .otherwise(GOOD)
        .cast(pl.UInt8)
    )
    return ids.to_frame("id").select(fault).to_series().to_numpy()
