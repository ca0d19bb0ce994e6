from __future__ import annotations

import numpy as np
import pytest

from illmrec.evaluation.intervals import bootstrap_means, interval


def values(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.random(n) < 0.3, rng.random(n)], axis=1).astype(np.float64)


def test_equal_seeds_give_equal_resamples_and_others_do_not() -> None:
    table = values(50)
    assert np.array_equal(bootstrap_means(table, 200, 1), bootstrap_means(table, 200, 1))
    assert not np.array_equal(bootstrap_means(table, 200, 1), bootstrap_means(table, 200, 2))
    # More resamples continue the same draws.
    assert np.array_equal(bootstrap_means(table, 64, 1), bootstrap_means(table, 128, 1)[:64])


def test_columns_share_their_users() -> None:
    table = values(50)
    paired = bootstrap_means(np.stack([table[:, 0], table[:, 0] + 1.0], axis=1), 100, 0)
    assert np.allclose(paired[:, 1] - paired[:, 0], 1.0, atol=1e-12)


def test_means_have_the_textbook_mean_and_deviation() -> None:
    table = values(400)
    means = bootstrap_means(table, 4000, 3)
    assert means.shape == (4000, 2)
    deviation = table.std(axis=0) / np.sqrt(len(table))
    assert np.abs(means.mean(axis=0) - table.mean(axis=0)).max() < 4 * deviation.max() / np.sqrt(4000)
    assert means.std(axis=0) == pytest.approx(deviation, rel=0.05)


def test_constant_values_have_no_width() -> None:
    means = bootstrap_means(np.full((20, 1), 0.25), 100, 0)
    assert interval(means[:, 0], 0.95) == (0.25, 0.25)


def test_the_interval_cuts_equal_tails() -> None:
    assert interval(np.linspace(0.0, 1.0, 101), 0.9) == pytest.approx((0.05, 0.95))


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Hits of 150 users with probability 0.3: 300 repetitions, a nominal 90 per cent."""
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(300):
        hits = (rng.random((150, 1)) < 0.3).astype(np.float64)
        low, high = interval(bootstrap_means(hits, 300, seed)[:, 0], 0.9)
        covered += low <= 0.3 <= high
    assert 0.85 <= covered / 300 <= 0.95  # 2.9 standard deviations of a binomial
