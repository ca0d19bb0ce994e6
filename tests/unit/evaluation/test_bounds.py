from __future__ import annotations

import numpy as np
import pytest

from illmrec.evaluation.bounds import OneSided, bound_difference

HOW = OneSided(confidence=0.95, samples=500, seed=0)
SECOND = np.random.default_rng(1).random(200)


def test_users_who_all_differ_alike_leave_no_doubt_when_paired() -> None:
    low, value, high = bound_difference(SECOND + 0.25, SECOND, HOW, paired=True)
    assert (low, value, high) == pytest.approx((0.25, 0.25, 0.25))
    low, value, high = bound_difference(SECOND + 0.25, SECOND, HOW, paired=False)
    assert value == pytest.approx(0.25)
    assert low < 0.24 < 0.26 < high


def test_the_second_is_lowered_by_a_share_of_itself_or_by_a_shift() -> None:
    _, value, _ = bound_difference(SECOND, SECOND, HOW, paired=True, share=0.9)
    assert value == pytest.approx(0.1 * SECOND.mean())
    assert bound_difference(SECOND, SECOND, HOW, paired=True, shift=0.05) == pytest.approx((0.05, 0.05, 0.05))


def test_each_end_has_the_confidence_by_itself() -> None:
    first = np.random.default_rng(2).random(200)
    low, value, high = bound_difference(first, SECOND, HOW, paired=True)
    wide = bound_difference(first, SECOND, OneSided(0.999, 500, 0), paired=True)
    assert wide[0] < low < value < high < wide[2]
    assert bound_difference(first, SECOND, OneSided(0.5, 500, 0), paired=True)[0] == pytest.approx(value, abs=0.01)
