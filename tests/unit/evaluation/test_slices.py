from __future__ import annotations

from fractions import Fraction
from math import log2

import numpy as np
import pytest

from illmrec.data.histories import pack_rows
from illmrec.evaluation.metrics import HIT_10, NDCG_10
from illmrec.evaluation.protocol import Cases
from illmrec.evaluation.slices import divide_cases, find_repeats, measure_slices
from illmrec.evaluation.summary import Resampling

HOW = Resampling(samples=100, confidence=0.9, permutations=100, seed=0)
HISTORIES = pack_rows([[0], [0, 1, 2, 3, 4], [1, 2], [3, 3, 3], [], [5] * 10])
TARGETS = pack_rows([[1], [4], [3], [3], [0], [2]])
CASES = Cases(np.arange(6), HISTORIES, TARGETS)
POPULARITY = np.array([9, 1, 0, 4, 1, 30])
PICTURED = np.array([True, True, False, True, False, True])


def members() -> dict[tuple[str, str], list[int]]:
    slices = divide_cases(CASES, POPULARITY, PICTURED, (2, 5))
    return {(part.group, part.name): np.flatnonzero(part.members).tolist() for part in slices}


def test_groups_are_those_of_a_hand_count() -> None:
    # Targets 1, 4, 3, 3, 0, 2 have 1, 1, 4, 4, 9, 0 interactions.
    assert members() == {
        ("target's popularity", "0 to 1"): [0, 1, 5],
        ("target's popularity", "4"): [2, 3],
        ("target's popularity", "9"): [4],
        ("target in training", "seen"): [0, 1, 2, 3, 4],
        ("target in training", "unseen"): [5],
        ("history length", "0 to 1"): [0, 4],
        ("history length", "2 to 4"): [2, 3],
        ("history length", "5 or more"): [1, 5],
        ("target's picture", "present"): [0, 2, 3, 4],
        ("target's picture", "missing"): [1, 5],
        ("target in the history", "new"): [0, 2, 4, 5],
        ("target in the history", "repeat"): [1, 3],
    }


def test_fifths_hold_a_fifth_of_the_targets_each() -> None:
    popularity = np.random.default_rng(0).permutation(1000)
    cases = Cases(np.arange(1000), pack_rows([[]] * 1000), pack_rows([[item] for item in range(1000)]))
    fifths = divide_cases(cases, popularity, np.ones(1000, dtype=np.bool_), ())[:5]
    assert [int(part.members.sum()) for part in fifths] == [200] * 5
    assert [part.name for part in fifths] == [f"{low} to {low + 199}" for low in range(0, 1000, 200)]


def test_repeats_of_users_with_several_targets() -> None:
    cases = Cases(np.arange(3), pack_rows([[2, 5], [], [7]]), pack_rows([[5, 7], [5], [7, 2, 7]]))
    assert find_repeats(cases).tolist() == [True, False, False, True, False, True]


def test_metrics_of_a_slice_are_means_over_its_targets() -> None:
    ranks = {"good": np.array([1.0, 3.0, 11.0, 2.0, 1.0, 7.0]), "bad": np.full(6, 50.0)}
    slices = divide_cases(CASES, POPULARITY, PICTURED, (2, 5))
    rows = {
        (row.slice.group, row.slice.name, row.model): row.estimates for row in measure_slices(slices, CASES, ranks, HOW)
    }
    assert len(rows) == 24
    assert rows["target's popularity", "4", "good"][HIT_10].value == float(Fraction(1, 2))
    assert rows["target's popularity", "4", "good"][NDCG_10].value == pytest.approx((0 + 1 / log2(3)) / 2, abs=1e-15)
    assert rows["history length", "5 or more", "good"][NDCG_10].value == pytest.approx(
        float(Fraction(1, 2) + Fraction(1, 3)) / 2
    )
    unseen = rows["target in training", "unseen", "good"][HIT_10]
    assert unseen.low == unseen.high == 1.0
    assert all(estimate.high == 0.0 for key, both in rows.items() if key[-1] == "bad" for estimate in both.values())
    seen = rows["target in training", "seen", "good"][NDCG_10]
    assert seen.low < seen.value < seen.high


def test_users_with_several_targets_are_resampled_whole() -> None:
    cases = Cases(np.arange(2), pack_rows([[], []]), pack_rows([[0, 1, 2], [3]]))
    slices = divide_cases(cases, np.ones(5, dtype=np.int64), np.ones(5, dtype=np.bool_), ())
    row = measure_slices(slices[:1], cases, {"m": np.array([1.0, 99.0, 99.0, 1.0])}, HOW)[0]
    found = row.estimates[HIT_10]
    assert found.value == float(Fraction(2, 4))
    assert (found.low, found.high) == pytest.approx((1 / 3, 1.0))
