"""What may be recommended: the catalog without items that were withdrawn.

A withdrawn item stays in histories, where it says what its user likes; it is only no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged
from illmrec.errors import DataError

Rows = TypeVar("Rows", bound=npt.NDArray[np.generic])


@dataclass(frozen=True)
class Offer:
    """Items on offer, in the catalog's order.

    Args:
        allowed: ``bool [n_items]``: False for an item that must not be recommended.
    """

    allowed: npt.NDArray[np.bool_]

    @cached_property
    def indices(self) -> npt.NDArray[np.int64]:
        """Return ``int64 [m]``: the catalog's index of each item on offer."""
        return np.flatnonzero(self.allowed)

    @property
    def whole(self) -> bool:
        """Return whether nothing was withdrawn."""
        return bool(self.allowed.all())

    def choose(self, rows: Rows) -> Rows:
        """Return the rows of the items on offer, from one row per item of the catalog."""
        return rows if self.whole else rows[self.allowed]  # type: ignore[return-value]

    def narrow(self, seen: Ragged) -> Ragged:
        """Return item indices of the catalog as positions in the offer; those of withdrawn items are left out."""
        if self.whole:
            return seen
        kept = self.allowed[seen.values]
        counts = np.concatenate([[0], np.cumsum(kept)])
        places = np.cumsum(self.allowed) - 1
        return Ragged(places[seen.values[kept]].astype(np.int32), counts[seen.offsets].astype(np.int64))


def read_offer(path: Path | None, catalog: Catalog) -> tuple[Offer, list[str]]:
    """Return what is on offer, and the lines that name no item of the catalog.

    Args:
        path: UTF-8 text, the id of a withdrawn item on each line; empty lines do not count. None for a whole offer.
        catalog: the items.

    Raises:
        DataError: when the file is not there or no text, names no item at all though it has lines, or leaves nothing
            to recommend.
    """
    allowed = np.ones(len(catalog), dtype=np.bool_)
    if path is None:
        return Offer(allowed), []
    ids = _read_lines(path)
    found = catalog.index_items(pl.Series(ids, dtype=pl.String))
    unknown = [line for line, index in zip(ids, found.tolist(), strict=True) if index < 0]
    if ids and len(unknown) == len(ids):
        hint = "One id a line, as in the raw files, without quotes and without a heading."
        raise DataError(f"names no item of the catalog; its first line is {ids[0]!r}.", path=path, hint=hint)
    allowed[found[found >= 0]] = False
    if not allowed.any():
        hint = "It lists what must NOT be recommended; check recommend.withdrawn."
        raise DataError("leaves no item to recommend.", path=path, hint=hint)
    return Offer(allowed), unknown


def _read_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "Put the list there, an empty one if nothing is withdrawn, or remove recommend.withdrawn."
        raise DataError(f"cannot be read: {error.strerror}.", path=path, hint=hint) from None
    except UnicodeDecodeError as error:
        row = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError("is not UTF-8 text.", path=path, row=row, hint="One item id a line, in UTF-8.") from None
    # Line ends alone: an id may hold anything else that Python takes for one.
    return [line for line in (part.removesuffix("\r") for part in text.split("\n")) if line]
