from __future__ import annotations

import numpy as np
import pytest

from illmrec.data.histories import Ragged, pack_rows
from illmrec.models import item_knn
from illmrec.models.item_knn import ItemKnn, mark_taken, measure_similarity

N_ITEMS = 13


def random_rows(seed: int = 0, users: int = 30) -> Ragged:
    rng = np.random.default_rng(seed)
    return pack_rows([rng.integers(0, N_ITEMS - 1, rng.integers(0, 9)) for _ in range(users)])


def plain_similarity(train: Ragged, neighbours: int, shrinkage: float) -> np.ndarray:
    """Return ``float64 [n_items, n_items]`` by loops over pairs of items."""
    taken = np.zeros((len(train), N_ITEMS))
    for user in range(len(train)):
        taken[user, train[user]] = 1
    similarity = np.zeros((N_ITEMS, N_ITEMS))
    for i in range(N_ITEMS):
        for j in range(N_ITEMS):
            both = (taken[:, i] * taken[:, j]).sum()
            if i != j and both:
                similarity[i, j] = both / (np.sqrt(taken[:, i].sum() * taken[:, j].sum()) + shrinkage)
        # A stable sort of what falls keeps equal ones in the order of their indices. Rounded as the sparse ones are.
        nearest = np.argsort(-similarity[i].astype(np.float32), kind="stable")
        similarity[i, nearest[neighbours:]] = 0
    return similarity


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(2, 0.0), (4, 3.5), (100, 1.0)])
@pytest.mark.parametrize("block", [1, 5, 2048])
def test_it_equals_a_plain_computation(
    neighbours: int, shrinkage: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_knn, "_BLOCK_ITEMS", block)
    train, histories = random_rows(), random_rows(1, 8)
    similarity = measure_similarity(train, N_ITEMS, neighbours, shrinkage)
    plain = plain_similarity(train, neighbours, shrinkage)
    assert similarity.dtype == np.float32
    assert np.abs(similarity.toarray() - plain).max() < 1e-6
    users = np.array([3, 0, 7])
    scores = ItemKnn(similarity, histories).score_users(users)
    for row, user in enumerate(users):
        wanted = plain[sorted(set(histories[user].tolist()))].sum(axis=0)
        assert np.abs(scores[row] - wanted).max() < 1e-5
    assert scores.dtype == np.float32


def test_a_case_by_hand() -> None:
    # Items 0 and 1 together twice, of three and two users; 0 and 2 together once, of three and one.
    similarity = measure_similarity(pack_rows([[0, 1], [1, 0, 0], [0, 2]]), 4, 5, 0.5).toarray()
    assert similarity[0].tolist() == pytest.approx([0, 2 / (6**0.5 + 0.5), 1 / (3**0.5 + 0.5), 0], abs=1e-6)
    assert not similarity[3].any()


def test_repeats_count_once() -> None:
    assert mark_taken(pack_rows([[2, 2, 0], []]), 3).toarray().tolist() == [[1, 0, 1], [0, 0, 0]]
