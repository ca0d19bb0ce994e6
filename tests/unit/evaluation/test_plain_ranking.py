"""Ranks, metrics and lists beside the benchmark's plain loop over users, on scores with many ties."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.evaluation import rank, rank_plainly
from illmrec.evaluation import protocol


@pytest.mark.parametrize(("users", "items", "width"), [(40, 30, 2), (25, 700, 3), (9, 3000, 8)])
def test_the_plain_loop_finds_the_same(users: int, items: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BLOCK_CELLS", 5 * items)
    rng = np.random.default_rng(items)
    vectors = [rng.integers(-2, 3, (count, width)).astype(np.float32) for count in (users, items)]
    histories = rng.integers(0, items, (users, 6)).astype(np.int32)
    targets = rng.integers(0, items, users).astype(np.int32)
    targets[:3] = histories[:3, 0]  # repeats
    plain, ours = rank_plainly(*vectors, histories, targets), rank(*vectors, histories, targets)
    assert (plain["rank"] % 1 == 0.5).any(), "some targets tie with an odd number of others"
    assert plain.keys() == ours.keys()
    for name, expected in plain.items():
        assert np.array_equal(ours[name], expected), name
