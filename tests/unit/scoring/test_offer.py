"""The offer: withdrawn items are no answers, and searching what is left gives the same as leaving them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from illmrec.data.catalog import Catalog
from illmrec.data.histories import pack_rows
from illmrec.errors import DataError
from illmrec.scoring.offer import Offer, read_offer
from illmrec.scoring.topk import ExactSearch


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(pl.DataFrame({"item_id": ["a", "b", "c\u2028d", "é"]}))


def test_searching_the_offer_equals_leaving_withdrawn_items_out_of_a_whole_search() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(n, 8)).astype(np.float32) for n in (30, 50))
    seen = pack_rows([rng.choice(50, size=rng.integers(0, 9), replace=False).tolist() for _ in range(30)])
    offer = Offer(rng.random(50) < 0.6)
    places, scores = ExactSearch(offer.choose(items)).search(users, offer.narrow(seen), 10)
    withdrawn = np.flatnonzero(~offer.allowed)
    everything = pack_rows([np.union1d(seen[user], withdrawn).tolist() for user in range(30)])
    expected, expected_scores = ExactSearch(items).search(users, everything, 10)
    assert offer.indices[places].tolist() == expected.tolist()
    assert np.allclose(scores, expected_scores)


def test_a_whole_offer_changes_nothing() -> None:
    items, seen = np.eye(3, dtype=np.float32), pack_rows([[0, 2], []])
    offer = Offer(np.ones(3, dtype=np.bool_))
    assert offer.choose(items) is items
    assert offer.narrow(seen) is seen


def test_the_list_has_an_id_a_line(catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "withdrawn.txt"
    path.write_bytes("\ufeffé\r\n\nc\u2028d\nnobody\n".encode())
    offer, unknown = read_offer(path, catalog)
    assert offer.allowed.tolist() == [True, True, False, False]
    assert unknown == ["nobody"]
    path.write_bytes(b"")
    assert read_offer(path, catalog)[0].whole
    assert read_offer(None, catalog)[0].whole


@pytest.mark.parametrize(
    ("content", "message", "row"),
    [
        (None, "cannot be read", None),
        (b"a\n\xff\n", "UTF-8", 2),
        (b'"a"\n"b"\n', "names no item of the catalog", None),
        ("a\nb\nc\u2028d\né".encode(), "leaves no item", None),
    ],
)
def test_bad_lists_are_refused(
    catalog: Catalog, tmp_path: Path, content: bytes | None, message: str, row: int | None
) -> None:
    path = tmp_path / "withdrawn.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_offer(path, catalog)
    assert (caught.value.path, caught.value.row) == (path, row)
    assert caught.value.hint
