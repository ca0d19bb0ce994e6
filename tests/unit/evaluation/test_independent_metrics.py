"""Ranks and metrics against scikit-learn, which computes them from scores and labels in ways of its own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from illmrec.data.histories import pack_rows
from illmrec.evaluation.metrics import compute_metrics
from illmrec.evaluation.protocol import DotScorer, rank_users

USERS, ITEMS = 60, 40


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return scores, targets and our metrics per user; scores have no ties, on which scikit-learn differs."""
    rng = np.random.default_rng(3)
    users, items = rng.standard_normal((USERS, 5)), rng.standard_normal((ITEMS, 5))
    targets = rng.integers(0, ITEMS, USERS).astype(np.int32)
    scorer = DotScorer(users.astype(np.float32), items.astype(np.float32))
    scores = scorer.score_users(np.arange(USERS))
    assert len(np.unique(scores)) == scores.size
    ranks = rank_users(scorer, pack_rows([[] for _ in range(USERS)]), targets)["full"]
    return scores, targets, {str(name): values for name, values in compute_metrics(ranks, (1, 5, 10, 20)).items()}


@pytest.mark.parametrize("k", [1, 5, 10, 20])
def test_hit_and_ndcg_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, dict], k: int) -> None:
    scores, targets, metrics = drawn
    labels = np.eye(ITEMS)[targets]
    hits = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(ITEMS))
    assert 0 < hits < 1
    assert metrics[f"hit@{k}"].mean() == pytest.approx(hits, abs=1e-12)
    assert metrics[f"ndcg@{k}"].mean() == pytest.approx(ndcg_score(labels, scores, k=k), abs=1e-12)


def test_mrr_is_the_average_precision_of_one_label(drawn: tuple[np.ndarray, np.ndarray, dict]) -> None:
    scores, targets, metrics = drawn
    expected = label_ranking_average_precision_score(np.eye(ITEMS)[targets], scores)
    assert metrics["mrr"].mean() == pytest.approx(expected, abs=1e-12)
