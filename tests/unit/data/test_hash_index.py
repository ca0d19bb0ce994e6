"""Numbers by hash: each its own, however many share a slot and however often the table grows."""

from __future__ import annotations

import numpy as np

from illmrec.data.files.hash_index import UNKNOWN, HashIndex


def test_hashes_keep_their_numbers_while_the_table_grows() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**64, 50_000, dtype=np.uint64)
    index = HashIndex()
    for part in np.split(hashes, [3, 700, 701, 30_000]):
        assert (index.find(part) == UNKNOWN).all()
        index.add(part)
    assert len(index) == 50_000
    assert index.find(hashes).tolist() == list(range(50_000))
    assert (index.find(hashes + np.uint64(1)) == UNKNOWN).all()


def test_hashes_that_want_one_slot_are_told_apart() -> None:
    crowd = np.arange(2**64 - 300, 2**64, dtype=np.uint64)  # the last slot, and from there on from the first
    index = HashIndex()
    index.add(crowd[:200])
    assert index.find(crowd).tolist() == [*range(200), *[UNKNOWN] * 100]
    index.add(crowd[200:])
    assert index.find(crowd[::-1]).tolist() == list(range(299, -1, -1))


def test_nothing_is_known_at_first() -> None:
    index = HashIndex()
    assert len(index) == 0
    assert index.find(np.array([0, 7], dtype=np.uint64)).tolist() == [UNKNOWN, UNKNOWN]
    assert index.find(np.zeros(0, dtype=np.uint64)).tolist() == []
