from __future__ import annotations

import numpy as np

from illmrec.data.histories import pack_rows
from illmrec.models.last_item import LastItem, Repeat, count_successors

TRAIN = pack_rows([[], [0, 1, 2], [0, 1], [], [1, 0, 1, 3], [2]])


def test_successors_are_counted_within_users() -> None:
    counts = count_successors(TRAIN, 4).toarray()
    assert counts.tolist() == [[0, 3, 0, 0], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_nothing_to_count_is_fine() -> None:
    assert not count_successors(pack_rows([[], []]), 3).toarray().any()
    assert count_successors(pack_rows([[0, 1]]), 3).toarray().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_successors_come_first_and_popular_items_after_them() -> None:
    scorer = LastItem(TRAIN, 4, pack_rows([[3, 0], [3], [], [0, 1]]))
    scores = scorer.score_users(np.array([3, 2, 0, 1]))
    # Counts in training are 3, 4, 2 and 1. After item 1 came 0, 2 and 3, once each.
    assert np.argsort(-scores[0], kind="stable").tolist() == [0, 2, 3, 1]
    assert np.argsort(-scores[1]).tolist() == [1, 0, 2, 3], "an empty history leaves popularity"
    assert scores[2, 1] > 3
    assert abs(scores[2, 1] - 3 - scores[1, 1]) < 1e-6
    assert np.array_equal(scores[3], scores[1]), "nothing followed item 3"
    assert scores.dtype == np.float32


def test_repeats_are_ranked_by_recency() -> None:
    scores = Repeat(5, pack_rows([[1], [4, 2, 4, 0], []])).score_users(np.array([1, 2]))
    assert np.argsort(-scores[0], kind="stable").tolist() == [0, 4, 2, 1, 3]
    assert scores[0, 1] == scores[0, 3] == 0
    assert not scores[1].any()
