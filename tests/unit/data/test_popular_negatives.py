"""Candidates by popularity: distinct, never seen, as often as their weight says, and one user's alone."""

from __future__ import annotations

import numpy as np
import pytest

from illmrec.data.histories import Ragged, pack_rows
from illmrec.data.splitting import popular_negatives
from illmrec.data.splitting.popular_negatives import sample_popular_negatives
from illmrec.seeds import derive_seed_of_each

WEIGHTS = np.array([8, 4, 4, 2, 1, 0, 1, 12], dtype=np.float64)


def make_seeds(count: int, seed: int = 0) -> np.ndarray:
    return derive_seed_of_each([f"u{n}" for n in range(count)], seed)


def draw(seen: list[list[int]], weights: np.ndarray, count: int, seed: int = 0) -> Ragged:
    return sample_popular_negatives(pack_rows(seen), weights, count, make_seeds(len(seen), seed))


@pytest.mark.parametrize("patience", [32, 0])  # from a stream of numbers, and by a race of all items
def test_candidates_are_distinct_never_seen_and_have_weight(patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(popular_negatives, "PATIENCE", patience)
    weights = np.append(np.random.default_rng(0).integers(1, 50, 200), np.zeros(30)).astype(np.float64)
    seen = [[0, 5, 5, 6, 19], [], list(range(100)), [229]]
    drawn = draw(seen, weights, 40)
    assert drawn.values.dtype == np.int32
    for known, candidates in zip(seen, (drawn[user].tolist() for user in range(4)), strict=True):
        assert len(set(candidates)) == len(candidates) == 40
        assert not set(candidates) & set(known)
        assert max(candidates) < 200


def test_all_that_is_left_is_taken_when_too_few() -> None:
    drawn = draw([[0, 7], [], list(range(8))], WEIGHTS, 100)
    assert [sorted(drawn[user].tolist()) for user in range(3)] == [[1, 2, 3, 4, 6], [0, 1, 2, 3, 4, 6, 7], []]
    assert len(draw([[0], []], np.zeros(4), 5).values) == 0


@pytest.mark.parametrize("patience", [32, 0])
def test_items_come_as_often_as_an_urn_gives_them(patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """First places by weight among the unseen; second places by weight among what is then left."""
    monkeypatch.setattr(popular_negatives, "PATIENCE", patience)
    users, seen = 20_000, [7]
    table = draw([seen] * users, WEIGHTS, 2).values.reshape(users, 2)
    free = WEIGHTS.copy()
    free[seen] = 0
    first = free / free.sum()
    second = sum(first[item] * np.where(np.arange(8) == item, 0, free) / (free.sum() - free[item]) for item in range(8))
    for place, shares in enumerate((first, second)):
        counts = np.bincount(table[:, place], minlength=8)
        possible = shares > 0
        assert counts[~possible].tolist() == [0, 0]
        chi_square = ((counts[possible] - users * shares[possible]) ** 2 / (users * shares[possible])).sum()
        assert chi_square < 22.5  # 5 degrees of freedom, one seed in 2,400 above
    assert not np.array_equal(table, draw([seen] * users, WEIGHTS, 2, seed=1).values.reshape(users, 2))


def test_draws_do_not_depend_on_blocks_or_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 30, 60).astype(np.float64)
    seen = [rng.integers(0, 60, rng.integers(1, 45)).tolist() for _ in range(50)]
    together = draw(seen, weights, 12)
    monkeypatch.setattr(popular_negatives, "BLOCK_USERS", 7)
    monkeypatch.setattr(popular_negatives, "BLOCK_CELLS", 100)
    assert np.array_equal(draw(seen, weights, 12).values, together.values)
    seeds = make_seeds(50)
    for user in (0, 13, 49):
        alone = sample_popular_negatives(pack_rows([seen[user]]), weights, 12, seeds[user : user + 1])
        assert np.array_equal(alone.values, together[user])
