from __future__ import annotations

import numpy as np
import pytest

from illmrec.errors import ModelError
from illmrec.evaluation.rank import rank_target

INF = np.inf


@pytest.mark.parametrize(
    ("scores", "target", "rank"),
    [
        ([3.0, 2.0, 1.0], 0, 1.0),
        ([3.0, 2.0, 1.0], 2, 3.0),
        ([2.0, 2.0, 1.0], 0, 1.5),  # ranks 1 and 2
        ([2.0, 2.0, 1.0], 1, 1.5),
        ([5.0, 2.0, 2.0, 2.0, 0.0], 3, 3.0),  # ranks 2, 3 and 4
        ([7.0, 7.0, 7.0, 7.0], 2, 2.5),
        ([0.0, -0.0, 1.0], 1, 2.5),  # both zeros are equal
        ([-INF, 1.0, -INF, 2.0], 1, 2.0),  # -inf is no candidate
        ([-INF, -5.0, -INF], 1, 1.0),
        ([4.0], 0, 1.0),
    ],
)
def test_ranks_are_those_of_a_hand_count(scores: list[float], target: int, rank: float) -> None:
    assert rank_target(np.array([scores], dtype=np.float32), np.array([target])).tolist() == [rank]


def test_every_row_is_ranked_by_itself() -> None:
    scores = np.array([[1.0, 2.0, 3.0], [9.0, 2.0, 3.0], [1.0, 1.0, 1.0]], dtype=np.float32)
    assert rank_target(scores, np.array([2, 2, 0], dtype=np.int32)).tolist() == [1.0, 2.0, 2.0]


def test_a_constant_model_ranks_in_the_middle() -> None:
    ranks = rank_target(np.zeros((50, 101), dtype=np.float32), np.arange(50))
    assert ranks.tolist() == [51.0] * 50


@pytest.mark.parametrize("scores", [[np.nan, 1.0], [1.0, np.nan], [-INF, 1.0], [INF, 1.0]])
def test_what_is_no_number_is_refused(scores: list[float]) -> None:
    with pytest.raises(ModelError, match="not a number"):
        rank_target(np.array([[0.0, 1.0], scores], dtype=np.float32), np.array([0, 0]))
