from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from illmrec.evaluation.significance import correct_holm, flip_signs


def test_few_users_are_tested_exactly() -> None:
    # Of 8 sign patterns of (1, 1, 1), two sums are as far out as 3; of (1, 2, -3), all of them reach 0.
    values = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, -3.0]])
    assert flip_signs(values, 100, 0).tolist() == [float(Fraction(2, 8)), 1.0]
    # (1, 2, 4) sums to 7; only itself and its mirror image do. (3, 2, -1) sums to 4: so do 4 (twice) and 6 (twice).
    values = np.array([[1.0, 3.0], [2.0, 2.0], [4.0, -1.0]])
    assert flip_signs(values, 8, 0).tolist() == [float(Fraction(2, 8)), float(Fraction(4, 8))]


def test_random_patterns_come_near_the_exact_value() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 1.0, (12, 3))
    exact = flip_signs(values, 2**12, 0)
    drawn = flip_signs(values, 2**12 - 1, 0)
    assert not np.array_equal(exact, drawn)
    assert (exact > 0.001).all()
    assert np.abs(drawn - exact).max() < 4 * np.sqrt(0.25 / 4095)


def test_a_clear_difference_has_the_smallest_value_there_is() -> None:
    values = np.stack([np.full(200, 0.5), np.zeros(200)], axis=1)
    assert flip_signs(values, 999, 0).tolist() == [float(Fraction(1, 1000)), 1.0]


def test_models_that_are_alike_are_called_different_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(1)
    p_values = np.concatenate([flip_signs(rng.standard_normal((40, 50)), 400, seed) for seed in range(8)])
    share = (p_values <= 0.1).mean()
    assert abs(share - 0.1) < 4 * np.sqrt(0.09 / len(p_values))


def test_equal_seeds_give_equal_values() -> None:
    values = np.random.default_rng(2).normal(0.1, 1.0, (50, 2))
    assert np.array_equal(flip_signs(values, 300, 1), flip_signs(values, 300, 1))
    assert not np.array_equal(flip_signs(values, 300, 1), flip_signs(values, 300, 2))


def test_holm_steps_down() -> None:
    # Sorted .01, .02, .03, .04 times 4, 3, 2, 1; each at least the one before.
    found = correct_holm(np.array([0.03, 0.01, 0.04, 0.02]))
    assert found == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert correct_holm(np.array([0.9, 0.5])).tolist() == [1.0, 1.0]
    assert correct_holm(np.array([0.2])).tolist() == [0.2]
