"""The catalog: which items exist, and which dense index each of them has.

The only place where external ids turn into indices. An item's index is its row in ``items.parquet``; there is no
padding index and no offset anywhere else in the project.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.errors import DataError


@dataclass(frozen=True)
class Catalog:
    """The items, each known by its dense index: its row in the table of items.

    Args:
        items: one row per item; the columns are those of :data:`illmrec.columns.ITEMS`, of which ``item_id`` must be
            there. ``illmrec prepare`` writes such a table.

    Raises:
        DataError: when two rows have the same id.

    Example:
        >>> catalog = illmrec.Catalog(pl.read_parquet("artifacts/shop/prepared/items.parquet"))
        >>> catalog.item_ids
        ['kit', 'lamp', 'pan', 'rug']
        >>> catalog.index_items(pl.Series(["pan", "sold out"])).tolist()
        [2, -1]
    """

    items: pl.DataFrame

    def __post_init__(self) -> None:
        """Refuse a catalog in which two rows claim the same id."""
        if self.items[ITEM_ID].n_unique() != self.items.height:
            raise DataError("item_id is not unique in the items table.", hint="Run `illmrec prepare` again.")

    def __len__(self) -> int:
        """Return the number of items."""
        return self.items.height

    @cached_property
    def item_ids(self) -> list[str]:
        """External ids; position = item_index."""
        return self.items[ITEM_ID].to_list()

    @cached_property
    def digest(self) -> str:
        """Sha256 of the ids in index order: two artifacts with the same digest agree on every item_index."""
        return hashlib.sha256("\n".join(self.item_ids).encode()).hexdigest()

    def index_items(self, item_ids: pl.Series) -> npt.NDArray[np.int32]:
        """Return ``int32 [n]``: the index of each id, or -1 where the catalog does not hold it."""
        positions = pl.Series(range(len(self)), dtype=pl.Int32)
        known = item_ids.replace_strict(self.items[ITEM_ID], positions, default=-1, return_dtype=pl.Int32)
        return known.to_numpy()

    def describe_items(self) -> list[str]:
        """Return the text that stands for each item: its description, else its title, else its categories, else ""."""
        columns = self.items.select("description", "title", pl.col("category").list.join(" > ")).rows()
        return [description or title or category for description, title, category in columns]
