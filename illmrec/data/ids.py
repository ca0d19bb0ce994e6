"""External ids as small numbers while a file is read, so that no id is held once per interaction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.errors import DataError

Codes = npt.NDArray[np.uint32]

MAX_ID_BYTES = 512
"""No publisher's id comes near; a longer one is a misread line."""

GOOD, BLANK, LINE_BREAK, CONTROL, TOO_LONG = range(5)
"""What can be wrong with an id: nothing, only white space, a line break, another control character, its length."""

_HASH, _CHECK, _CODE, _ROW = "hash", "check", "code", "row"
_SEEDS = (11, 12)


class IdTable:
    """Numbers ids in the order they are first seen.

    Ids are looked up by a 64-bit hash. A second, independent hash is compared on each look-up, so two ids are never
    taken for one: should their hashes agree, which a billion catalogs would not see, they are refused.
    """

    def __init__(self) -> None:
        self._known = pl.DataFrame(schema={_HASH: pl.UInt64, _CHECK: pl.UInt64, _CODE: pl.UInt32})
        self._ids: list[pl.Series] = []
        self._faults = np.zeros(0, dtype=np.uint8)

    def __len__(self) -> int:
        """Return the number of different ids seen."""
        return self._known.height

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

        Meant for blocks of 100,000 ids and more: each call costs time in the number of ids known.

        Raises:
            DataError: when two different ids have the same hash.
        """
        ids = ids.fill_null("") if ids.null_count() else ids
        hashes = pl.DataFrame({_HASH: ids.hash(_SEEDS[0]), _CHECK: ids.hash(_SEEDS[1])})
        found = hashes.join(self._known, on=_HASH, how="left", maintain_order="left")
        unknown = found[_CODE].is_null()
        codes = found[_CODE].fill_null(0).to_numpy().copy()
        self._compare(found)
        if unknown.any():
            fresh = self._add(ids, hashes, unknown)
            rest = hashes.filter(unknown).join(fresh, on=_HASH, how="left", maintain_order="left")
            codes[unknown.to_numpy()] = rest[_CODE].to_numpy()
            self._compare(rest)
        return codes

    def _add(self, ids: pl.Series, hashes: pl.DataFrame, unknown: pl.Series) -> pl.DataFrame:
        fresh = hashes.with_row_index(_ROW).filter(unknown).unique(_HASH, keep="first", maintain_order=True)
        # Through Arrow, because a gathered column would keep the memory of the whole block it came from.
        texts = pl.Series("id", ids.gather(fresh[_ROW]).to_arrow(), dtype=pl.String)
        codes = pl.Series(_CODE, np.arange(len(self), len(self) + fresh.height, dtype=np.uint32))
        fresh = fresh.select(_HASH, _CHECK).with_columns(codes)
        self._known = pl.concat([self._known, fresh])
        self._ids.append(texts)
        self._faults = np.concatenate([self._faults, judge_ids(texts)])
        return fresh

    @staticmethod
    def _compare(found: pl.DataFrame) -> None:
        if (found[_CHECK] != found[f"{_CHECK}_right"]).any():  # null where the id is new, which does not count
            raise DataError("two different ids have the same hash.", hint="Change one of them.")


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
