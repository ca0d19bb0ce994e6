from __future__ import annotations

import numpy as np
import pytest

from illmrec.evaluation.top import NONE, select_top


def select_plainly(scores: np.ndarray, k: int) -> np.ndarray:
    """Sort each row by itself."""
    rows = []
    for row in scores:
        best = sorted((column for column in range(len(row)) if row[column] > -np.inf), key=lambda c: (-row[c], c))[:k]
        rows.append(best + [NONE] * (k - len(best)))
    return np.array(rows)


@pytest.mark.parametrize(("width", "k"), [(1, 1), (7, 3), (7, 10), (300, 20), (2000, 1), (2000, 20), (3001, 100)])
def test_the_best_are_those_of_a_sorted_row(width: int, k: int) -> None:
    scores = np.random.default_rng(width).standard_normal((9, width)).astype(np.float32)
    assert np.array_equal(select_top(scores, k), select_plainly(scores, k))


@pytest.mark.parametrize("width", [5, 40, 1000])
def test_equal_scores_are_listed_by_column(width: int) -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, (20, width)).astype(np.float32)
    scores[3] = 0.0
    assert np.array_equal(select_top(scores, 12), select_plainly(scores, 12))


def test_what_is_no_candidate_is_not_listed() -> None:
    scores = np.full((2, 900), -np.inf, dtype=np.float32)
    scores[1, [3, 800]] = 1.0, 2.0
    assert select_top(scores, 3).tolist() == [[NONE] * 3, [800, 3, NONE]]
