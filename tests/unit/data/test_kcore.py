from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from illmrec.data.splitting.kcore import find_core, largest_core

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=80)


def remove_one_at_a_time(pairs: list[tuple[int, int]], user_core: int, item_core: int) -> set[int]:
    """The definition: as long as somebody has too few, take their interactions away."""
    left = set(range(len(pairs)))
    while True:
        users = Counter(pairs[row][0] for row in left)
        items = Counter(pairs[row][1] for row in left)
        bad = next((r for r in left if users[pairs[r][0]] < user_core or items[pairs[r][1]] < item_core), None)
        if bad is None:
            return left
        left.remove(bad)


@settings(max_examples=200, deadline=None)
@given(pairs=PAIRS, user_core=st.integers(1, 5), item_core=st.integers(1, 5))
def test_core_equals_the_plain_loop(pairs: list[tuple[int, int]], user_core: int, item_core: int) -> None:
    users, items = np.array(pairs, dtype=np.uint32).reshape(-1, 2).T
    mask = find_core(users, items, user_core, item_core)
    assert set(np.flatnonzero(mask).tolist()) == remove_one_at_a_time(pairs, user_core, item_core)


@settings(max_examples=60, deadline=None)
@given(pairs=PAIRS)
def test_largest_core_is_the_last_that_is_not_empty(pairs: list[tuple[int, int]]) -> None:
    users, items = np.array(pairs, dtype=np.uint32).reshape(-1, 2).T
    k = largest_core(users, items)
    assert not remove_one_at_a_time(pairs, k + 1, k + 1)
    assert k == 0 or remove_one_at_a_time(pairs, k, k)


def test_removal_goes_on_until_nothing_changes() -> None:
    # Item 1 falls, then user 1 has one item left and falls, then item 0 has only user 0.
    users, items = np.array([0, 0, 1, 1]), np.array([0, 2, 0, 1])
    assert find_core(users, items, 2, 2).tolist() == [False] * 4
    assert find_core(users, items, 1, 2).tolist() == [True, False, True, False]
