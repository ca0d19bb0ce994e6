from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from illmrec.columns import ITEMS
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError


def make(rows: list[tuple[object, ...]]) -> Catalog:
    return Catalog(pl.DataFrame(rows, schema=ITEMS, orient="row"))


CATALOG = make(
    [
        ("b", "Pan", "", ["Kitchen", "Pans"], "A flat pan.", "", "missing"),
        ("a", "Lamp", "", ["Home"], "", "", "missing"),
        ("c", "", "", ["Sport", "Shoes"], "", "", "missing"),
        ("d", "", "", [], "", "", "missing"),
    ]
)


def test_an_items_index_is_its_row() -> None:
    assert len(CATALOG) == 4
    assert CATALOG.item_ids == ["b", "a", "c", "d"]
    found = CATALOG.index_items(pl.Series(["d", "b", "nobody", "a", "d"]))
    assert found.tolist() == [3, 0, -1, 1, 3]
    assert found.dtype == np.int32


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(DataError, match="not unique"):
        make([("a", "", "", [], "", "", "missing")] * 2)


def test_the_digest_is_that_of_the_ids_in_their_order() -> None:
    same = Catalog(CATALOG.items.with_columns(title=pl.lit("other")))
    assert same.digest == CATALOG.digest
    assert Catalog(CATALOG.items.reverse()).digest != CATALOG.digest
    assert Catalog(CATALOG.items.head(3)).digest != CATALOG.digest


def test_an_item_is_described_by_the_first_text_it_has() -> None:
    assert CATALOG.describe_items() == ["A flat pan.", "Lamp", "Sport > Shoes", ""]
