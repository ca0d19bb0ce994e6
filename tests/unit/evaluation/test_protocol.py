from __future__ import annotations

import numpy as np
import pytest

from illmrec.data.histories import Ragged, pack_rows
from illmrec.errors import DataError, ModelError
from illmrec.evaluation import protocol
from illmrec.evaluation.protocol import Cases, DotScorer, PopularityScorer, rank_cases, rank_users
from illmrec.evaluation.rank import rank_target

# Three users, six items; each row is one user's scores.
SCORES = np.array(
    [
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
    ],
    dtype=np.float32,
)
HISTORIES = pack_rows([[0, 1, 0], [5], [2]])
TARGETS = np.array([3, 1, 2], dtype=np.int32)  # the third user repeats an item
NEGATIVES = pack_rows([[4, 5], [0, 2, 3], [0]])


class Table:
    def score_users(self, users: np.ndarray) -> np.ndarray:
        return SCORES[users].copy()


def test_a_case_counted_by_hand() -> None:
    ranks = rank_users(Table(), HISTORIES, TARGETS, NEGATIVES)
    # full: user 0 has candidates 2..5, item 2 above; user 1 has 0..4, items 2, 3, 4 above; user 2 ties with all six.
    assert ranks["full"].tolist() == [2.0, 4.0, 3.5]
    # sampled: user 0 beats 4 and 5; user 1 is beaten by 2 and 3; user 2 ties with one.
    assert ranks["sampled"].tolist() == [1.0, 3.0, 1.5]


def test_without_negatives_only_the_full_catalog_is_ranked() -> None:
    assert list(rank_users(Table(), HISTORIES, TARGETS)) == ["full"]


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blocks_of_users_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rank_users(Table(), HISTORIES, TARGETS, NEGATIVES)
    monkeypatch.setattr(protocol, "FIRST_USERS", block)
    monkeypatch.setattr(protocol, "BLOCK_CELLS", 6 * block)
    ranks = rank_users(Table(), HISTORIES, TARGETS, NEGATIVES)
    assert all(np.array_equal(ranks[name], expected[name]) for name in expected)


def test_random_cases_agree_with_ranking_one_user_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BLOCK_CELLS", 7 * 30)
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((40, 6)).astype(np.float32), rng.standard_normal((30, 6)).astype(np.float32)
    histories = [rng.integers(0, 30, rng.integers(0, 12)) for _ in range(40)]
    targets = rng.integers(0, 30, 40).astype(np.int32)
    negatives = []
    for history, target in zip(histories, targets, strict=True):
        unseen = np.setdiff1d(np.arange(30), [*history, target])
        negatives.append(rng.permutation(unseen)[: rng.integers(1, 12)])
    ranks = rank_users(DotScorer(users, items), pack_rows(histories), targets, pack_rows(negatives))
    for user, target in enumerate(targets):
        scores = users[user] @ items.T
        others = np.setdiff1d(np.arange(30), [*histories[user], target])
        assert ranks["full"][user] == 1 + (scores[others] > scores[target]).sum()
        assert ranks["sampled"][user] == 1 + (scores[negatives[user]] > scores[target]).sum()


def test_users_without_history_or_negatives_are_ranked() -> None:
    ranks = rank_users(Table(), pack_rows([[], [], []]), TARGETS, pack_rows([[], [0], []]))
    assert ranks["full"].tolist() == [4.0, 5.0, 3.5]
    assert ranks["sampled"].tolist() == [1.0, 1.0, 1.0]


def test_popularity_counts_training_interactions() -> None:
    scorer = PopularityScorer(pack_rows([[0, 0, 3], [3, 3], [1]]), 6)
    assert scorer.score_users(np.array([1, 4])).tolist() == [[2.0, 1.0, 0.0, 3.0, 0.0, 0.0]] * 2


def test_ranking_leaves_the_scorers_state_alone() -> None:
    scorer = PopularityScorer(pack_rows([[0, 0, 3]]), 6)
    first = rank_users(scorer, HISTORIES, TARGETS, NEGATIVES)
    second = rank_users(scorer, HISTORIES, TARGETS, NEGATIVES)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_scorer_that_gives_nan_is_refused() -> None:
    class Broken:
        def score_users(self, users: np.ndarray) -> np.ndarray:
            scores = SCORES[users].copy()
            scores[1, 4] = np.nan
            return scores

    with pytest.raises(ModelError):
        rank_users(Broken(), HISTORIES, TARGETS)
    assert rank_target(SCORES, TARGETS).shape == (3,)


def test_several_targets_of_a_user_are_no_rivals_of_each_other() -> None:
    cases = Cases(np.array([7, 9]), pack_rows([[0], [5]]), pack_rows([[1, 4], [2]]))
    found = rank_cases(Table(), cases, {"few": pack_rows([[2, 5], [3]])}, list_length=2)
    # User 0 has scores falling from item 0, which is history: of 2, 3, 5 none beats target 1, two beat target 4.
    assert found.ranks["full"].tolist() == [1.0, 3.0, 3.0]
    assert found.ranks["few"].tolist() == [1.0, 2.0, 2.0]
    assert found.tied.tolist() == [False] * 3
    # A list shows targets like other items, only the history not.
    assert found.lists.tolist() == [[1, 2], [4, 3]]


def test_lists_and_ties_of_one_pass() -> None:
    cases = Cases(np.arange(3), HISTORIES, Ragged(TARGETS, np.arange(4)))
    found = rank_cases(Table(), cases, list_length=5)
    assert found.tied.tolist() == [False, False, True]
    assert found.lists.tolist() == [[2, 3, 4, 5, -1], [4, 3, 2, 1, 0], [0, 1, 3, 4, 5]]


def test_items_that_are_not_allowed_are_no_rivals_and_not_listed() -> None:
    cases = Cases(np.arange(3), HISTORIES, Ragged(TARGETS, np.arange(4)))
    allowed = np.array([True, True, False, True, False, True])
    found = rank_cases(Table(), cases, {"sampled": NEGATIVES}, list_length=3, allowed=allowed)
    assert found.ranks["full"].tolist() == [1.0, 2.0, 2.5 + 0.5]
    assert found.ranks["sampled"].tolist() == [1.0, 3.0, 1.5]
    assert found.lists.tolist() == [[3, 5, -1], [3, 1, 0], [0, 1, 3]]


def test_a_user_without_a_target_is_refused() -> None:
    with pytest.raises(DataError, match="without a target"):
        rank_users(Table(), HISTORIES, np.array([3, -1, 2], dtype=np.int32))
