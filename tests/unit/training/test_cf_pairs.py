from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from illmrec.data.histories import Ragged, pack_rows
from illmrec.models.vbpr import Vbpr
from illmrec.training.cf_loop import Stopping
from illmrec.training.cf_pairs import PairSettings, _measure_loss, train_pairs

N_USERS, N_ITEMS = 40, 16
SETTINGS = PairSettings(learning_rate=2e-2, decay=1e-4, batch_size=64, stopping=Stopping(30, 100, 10), seed=0)


def tastes() -> tuple[Ragged, np.ndarray]:
    """Even users took all even items but one, odd users all odd items but one: the one that is left out."""
    left_out = np.array([(2 * (user // 2) + user) % N_ITEMS // 2 * 2 + user % 2 for user in range(N_USERS)])
    rows = [[item for item in range(user % 2, N_ITEMS, 2) if item != left_out[user]] for user in range(N_USERS)]
    return pack_rows(rows), left_out


def build() -> Vbpr:
    return Vbpr(N_USERS, N_ITEMS, width=4)


def find_left_out(model: Vbpr) -> float:
    """Return the share of users whose best unknown item is the one left out; chance is one in nine."""
    train, left_out = tastes()
    scores = model.represent_users() @ model.represent_items().T
    scores[np.repeat(np.arange(N_USERS), train.lengths), train.values] = -np.inf
    return float((scores.argmax(axis=1) == left_out).mean())


def test_it_learns_who_likes_what() -> None:
    result = train_pairs(build, tastes()[0], SETTINGS, find_left_out, "bpr")
    assert result.best_score >= 0.9
    assert find_left_out(result.model) == result.best_score


def test_pictures_tell_of_items_nobody_took() -> None:
    # The last two items are in no training interaction; their pictures say which kind they are.
    features = torch.zeros(N_ITEMS, 2)
    features[torch.arange(N_ITEMS), torch.arange(N_ITEMS) % 2] = 1.0
    rows = pack_rows([list(range(user % 2, N_ITEMS - 2, 2))[: 4 + user % 3] for user in range(N_USERS)])

    def prefer_own_kind(model: Vbpr) -> float:
        scores = (model.represent_users() @ model.represent_items().T)[:, -2:]
        return float((scores.argmax(axis=1) == np.arange(N_USERS) % 2).mean())

    seeing = train_pairs(lambda: Vbpr(N_USERS, N_ITEMS, 4, features, 4), rows, SETTINGS, prefer_own_kind, "vbpr")
    blind = train_pairs(build, rows, SETTINGS, prefer_own_kind, "bpr")
    assert seeing.curve[-1]["validation"] >= 0.95
    assert blind.curve[-1]["validation"] < 0.8


def test_equal_seeds_give_equal_bits() -> None:
    short = replace(SETTINGS, stopping=Stopping(2, 5, 1))
    first, again = (train_pairs(build, tastes()[0], short, find_left_out, "bpr") for _ in range(2))
    assert first.curve == again.curve
    assert np.array_equal(first.model.represent_users(), again.model.represent_users())
    other = train_pairs(build, tastes()[0], replace(short, seed=1), find_left_out, "bpr")
    assert other.curve != first.curve


def test_the_loss_by_hand() -> None:
    model = Vbpr(1, 2, width=1)
    with torch.no_grad():
        model.users.weight.fill_(2.0)
        model.items.weight.copy_(torch.tensor([[0.5], [0.25]]))
        model.bias.weight.copy_(torch.tensor([[0.0], [1.0]]))
    user, taken, other = np.array([0]), np.array([0]), np.array([1])
    # Scores are 1 and 1.5; squared lengths 4, 0.25 and 0.0625 + 1.
    plain = math.log1p(math.exp(0.5))
    assert float(_measure_loss(model, user, taken, other, 0.0)) == pytest.approx(plain, abs=1e-6)
    decayed = float(_measure_loss(model, user, taken, other, 0.1))
    assert decayed == pytest.approx(plain + 0.1 * (4 + 0.25 + 1.0625), abs=1e-6)
