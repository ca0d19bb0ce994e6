from __future__ import annotations

from fractions import Fraction
from math import log2

import numpy as np
import polars as pl
import pytest

from illmrec.data.histories import pack_rows
from illmrec.evaluation.lists import (
    SMOOTHING,
    code_categories,
    count_exposure,
    describe_lists,
    describe_tastes,
    measure_coverage,
    measure_gini,
    measure_information,
    measure_miscalibration,
    measure_novelty,
)

LISTS = np.array([[0, 1], [0, 2], [0, -1]], dtype=np.int32)


def test_coverage_and_gini_of_a_hand_count() -> None:
    exposure = count_exposure(LISTS, 4)
    assert exposure.tolist() == [3, 1, 1, 0]
    assert measure_coverage(exposure) == float(Fraction(3, 4))
    # Ascending 0, 1, 1, 3: (-3 * 0 - 1 * 1 + 1 * 1 + 3 * 3) / (4 * 5)
    assert measure_gini(exposure) == float(Fraction(9, 20))


@pytest.mark.parametrize(("exposure", "gini"), [([2, 2, 2], 0), ([0, 0, 9], Fraction(2, 3)), ([0, 0], 0)])
def test_gini_is_nothing_when_even_and_near_one_when_one_item_has_all(exposure: list[int], gini: Fraction) -> None:
    assert measure_gini(np.array(exposure)) == pytest.approx(float(gini), abs=1e-15)


def test_gini_is_half_the_mean_difference_of_pairs() -> None:
    exposure = np.random.default_rng(0).integers(0, 30, 50)
    pairs = np.abs(exposure[:, None] - exposure).mean()
    assert measure_gini(exposure) == pytest.approx(pairs / (2 * exposure.mean()), abs=1e-12)


def test_novelty_is_the_mean_self_information() -> None:
    # 3, 1, 0, 0 interactions and four items: p is 4/8, 2/8, 1/8, 1/8.
    information = measure_information(np.array([3, 1, 0, 0]))
    assert information.tolist() == [1.0, 2.0, 3.0, 3.0]
    assert measure_novelty(LISTS, information).tolist() == [float(Fraction(3, 2)), 2.0, 1.0]
    assert np.isnan(measure_novelty(np.array([[-1, -1]], dtype=np.int32), information)).all()


def test_categories_get_a_number_each() -> None:
    codes, count = code_categories(pl.Series([["b", "a", "b"], [], ["c"], ["a"]]))
    assert count == 3
    assert [codes[item].tolist() for item in range(4)] == [[1, 0], [], [2], [0]]


def test_miscalibration_of_a_hand_count() -> None:
    categories = pack_rows([[0], [1], [0, 1], [2], []])
    histories = pack_rows([[0, 2], [1, 1], [4], [0], [3]])
    lists = np.array([[1, 3], [1, -1], [0, 1], [4, 4], [0, 1]], dtype=np.int32)
    found = measure_miscalibration(lists, describe_tastes(histories, categories, 3))
    a = SMOOTHING
    # User 0: the history is 3/4 of category 0 and 1/4 of 1, the list half of 1 and half of 2.
    first = 3 / 4 * log2(1 / a) + 1 / 4 * log2((1 / 4) / ((1 - a) / 2 + a / 4))
    # User 4: nothing of the history's one category is in the list.
    expected = [first, 0.0, np.nan, np.nan, log2(1 / a)]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_every_cutoff_looks_at_the_beginning_of_the_lists() -> None:
    tastes = describe_tastes(pack_rows([[0], [1], [2]]), pack_rows([[0], [0], [1], [1]]), 2)
    measured = describe_lists(LISTS, np.array([3, 1, 0, 0]), tastes, (1, 2))
    of_all = {str(name): value for name, value in measured.of_all.items()}
    per_user = {str(name): values for name, values in measured.per_user.items()}
    assert of_all == {"coverage@1": 0.25, "gini@1": 0.75, "coverage@2": 0.75, "gini@2": 0.45}
    assert per_user["novelty@1"].tolist() == [1.0, 1.0, 1.0]
    assert per_user["miscalibration@1"] == pytest.approx([0.0, 0.0, log2(1 / SMOOTHING)])
    assert per_user["miscalibration@2"][1] == pytest.approx(-log2((1 - SMOOTHING) / 2 + SMOOTHING))
