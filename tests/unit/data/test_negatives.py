"""Sampled candidates: distinct, never seen, uniform, and one user's alone."""

from __future__ import annotations

import numpy as np
import pytest

from illmrec.data.histories import Ragged, pack_rows
from illmrec.data.splitting import negatives
from illmrec.data.splitting.negatives import sample_negatives
from illmrec.seeds import derive_seed_of_each

MASK = 2**64 - 1


def make_seeds(count: int, seed: int = 0) -> np.ndarray:
    return derive_seed_of_each([f"u{n}" for n in range(count)], seed)


def draw(seen: list[list[int]], items: int, count: int, seed: int = 0) -> Ragged:
    return sample_negatives(pack_rows(seen), items, count, make_seeds(len(seen), seed))


@pytest.mark.parametrize(("items", "count"), [(20, 12), (40, 12), (2000, 12), (1_000_000, 100), (130, 100)])
def test_candidates_are_distinct_and_never_seen(items: int, count: int) -> None:
    seen = [[0, 5, 5, 6, 19], [], [items - 1], list(range(8))]
    drawn = draw(seen, items, count)
    assert drawn.values.dtype == np.int32
    for known, candidates in zip(seen, (drawn[user].tolist() for user in range(4)), strict=True):
        assert len(set(candidates)) == len(candidates) == min(count, items - len(set(known)))
        assert not set(candidates) & set(known)
        assert 0 <= min(candidates) <= max(candidates) < items


def test_all_unseen_items_are_taken_when_too_few() -> None:
    drawn = draw([[1, 2], list(range(6)), [0]], 6, 100)
    assert [sorted(drawn[user].tolist()) for user in range(3)] == [[0, 3, 4, 5], [], [1, 2, 3, 4, 5]]


def test_nobody_draws_nothing() -> None:
    assert len(draw([], 10, 3)) == 0


@pytest.mark.parametrize(("items", "count"), [(10, 2), (10, 6)])  # from a stream of numbers, and by shuffling
def test_every_unseen_item_is_drawn_equally_often_and_at_every_place(items: int, count: int) -> None:
    users, seen = 9000, [0, 4, 9]
    table = draw([seen] * users, items, count).values.reshape(users, count)
    unseen = np.delete(np.arange(items), seen)
    for place in range(count):
        counts = np.bincount(table[:, place], minlength=items)
        assert counts[seen].tolist() == [0, 0, 0]
        expected = users / len(unseen)
        assert abs(counts[unseen] - expected).max() < 4.5 * np.sqrt(expected)


def test_draws_are_the_first_fresh_numbers_of_each_users_stream() -> None:
    seen, items, count = [[3, 1], [2], list(range(0, 70, 2))], 90, 20
    seeds = make_seeds(len(seen))
    drawn = sample_negatives(pack_rows(seen), items, count, seeds)
    for user, known in enumerate(seen):
        assert drawn[user].tolist() == follow_stream(int(seeds[user]), set(known), items, count)


def follow_stream(seed: int, known: set[int], items: int, count: int) -> list[int]:
    """One number at a time, in Python's own integers."""
    found: list[int] = []
    place = 0
    while len(found) < count:
        place += 1
        number = (seed + place * 0x9E3779B97F4A7C15) & MASK
        number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & MASK
        number = (number ^ (number >> 31)) >> 11
        item = int(number * (items / 2**53))
        if item not in known and item not in found:
            found.append(item)
    return found


def test_draws_do_not_depend_on_blocks_or_other_users(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    seen = [rng.integers(0, 60, rng.integers(1, 50)).tolist() for _ in range(50)]
    together = draw(seen, 60, 15)
    monkeypatch.setattr(negatives, "MOST_USERS", 7)
    monkeypatch.setattr(negatives, "FEWEST_USERS", 1)
    monkeypatch.setattr(negatives, "BLOCK_CELLS", 100)
    apart = draw(seen, 60, 15)
    assert np.array_equal(together.values, apart.values)
    seeds = make_seeds(50)
    for user in (0, 13, 49):
        alone = sample_negatives(pack_rows([seen[user]]), 60, 15, seeds[user : user + 1])
        assert np.array_equal(alone.values, together[user])
