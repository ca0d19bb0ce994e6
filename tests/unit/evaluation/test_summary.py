from __future__ import annotations

import numpy as np
import pytest

from illmrec.evaluation.summary import (
    Estimate,
    Resampling,
    compare_models,
    estimate_known,
    estimate_means,
    estimate_ratios,
)

HOW = Resampling(samples=200, confidence=0.9, permutations=500, seed=0)
RNG = np.random.default_rng(0)
VALUES = {
    "a": {"hit@10": (RNG.random(80) < 0.6).astype(float), "mrr": RNG.random(80)},
    "b": {"hit@10": (RNG.random(80) < 0.2).astype(float), "mrr": RNG.random(80)},
    "c": {"hit@10": np.zeros(80), "mrr": np.full(80, 0.5)},
}


def test_estimates_are_means_inside_their_intervals() -> None:
    found = estimate_means(VALUES, HOW)
    assert list(found) == [(model, metric) for model in VALUES for metric in ("hit@10", "mrr")]
    for (model, metric), estimate in found.items():
        assert estimate.value == VALUES[model][metric].mean()
        assert estimate.low <= estimate.value <= estimate.high
    assert found["c", "mrr"].low == found["c", "mrr"].high == 0.5
    assert found["a", "mrr"].low < found["a", "mrr"].high


def test_differences_are_paired_and_corrected_together() -> None:
    pairs = [("a", "b"), ("a", "c")]
    found = compare_models(VALUES, pairs, HOW)
    assert list(found) == [(*pair, metric) for pair in pairs for metric in ("hit@10", "mrr")]
    first = found["a", "b", "hit@10"]
    assert first.estimate.value == pytest.approx((VALUES["a"]["hit@10"] - VALUES["b"]["hit@10"]).mean())
    assert first.estimate.low > 0
    assert first.p == 1 / 501
    assert first.holm == pytest.approx(4 / 501)
    assert all(difference.holm >= difference.p for difference in found.values())
    # A model beside itself plus a constant: no width, which intervals of unpaired means would have.
    shifted = {"a": VALUES["a"], "d": {name: values + 0.25 for name, values in VALUES["a"].items()}}
    gap = compare_models(shifted, [("d", "a")], HOW)["d", "a", "mrr"].estimate
    assert (gap.low, gap.high) == pytest.approx((0.25, 0.25))


def test_nothing_to_compare_is_nothing() -> None:
    assert compare_models(VALUES, [], HOW) == {}


def test_means_leave_out_users_without_a_value() -> None:
    found = estimate_known({"x": np.array([1.0, np.nan, 3.0, np.nan]), "none": np.full(4, np.nan)}, HOW)
    assert list(found) == ["x"]
    assert found["x"].value == 2.0
    assert 1.0 <= found["x"].low <= found["x"].high <= 3.0


def test_a_ratio_weighs_users_by_their_cases() -> None:
    estimate = estimate_ratios([np.array([3.0, 0.0, 1.0])], [np.array([4.0, 0.0, 1.0])], HOW)[0]
    assert estimate.value == 4 / 5
    assert (estimate.low, estimate.high) == (3 / 4, 1.0)  # only the first, only the third


@pytest.mark.parametrize(("low", "high", "side"), [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (0.0, 0.1, 0)])
def test_an_interval_lies_on_a_side_of_zero_or_on_none(low: float, high: float, side: int) -> None:
    assert Estimate((low + high) / 2, low, high).side == side


def test_an_estimate_is_three_columns_of_a_table() -> None:
    assert Estimate(0.5, 0.4, 0.6).as_columns("mrr") == {"mrr": 0.5, "mrr.low": 0.4, "mrr.high": 0.6}
