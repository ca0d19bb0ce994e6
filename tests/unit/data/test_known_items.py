from __future__ import annotations

import numpy as np

from illmrec.data.histories import pack_rows
from illmrec.data.known_items import KnownItems


def test_draws_are_unknown_items() -> None:
    known = KnownItems(pack_rows([[0, 2], [1], [0, 1, 2, 1]]), 3)
    assert known.contains(np.array([0, 0, 1]), np.array([2, 1, 2])).tolist() == [True, False, False]
    users = np.repeat([0, 1], 500)
    drawn = known.draw_others(users, np.random.default_rng(0))
    assert set(drawn[users == 0]) == {1}
    assert set(drawn[users == 1]) == {0, 2}
    everything = known.draw_others(np.array([2]), np.random.default_rng(0))
    assert 0 <= everything[0] < 3, "a user who knows every item ends no training"


def test_unknown_items_are_equally_likely() -> None:
    known = KnownItems(pack_rows([[1, 3]]), 6)
    drawn = known.draw_others(np.zeros(8000, dtype=np.int64), np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=6)
    assert not counts[[1, 3]].any()
    assert np.abs(counts[[0, 2, 4, 5]] - 2000).max() < 200
