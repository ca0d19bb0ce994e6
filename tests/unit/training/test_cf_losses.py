from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from illmrec.data.histories import pack_rows
from illmrec.data.known_items import KnownItems
from illmrec.training.cf_losses import LossSettings, Negatives, mean_loss
from illmrec.training.losses import catalog_cross_entropy
from tests.unit.training.test_catalog_loss import make_case


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def measure(states: Tensor, table: Tensor, targets: Tensor, settings: LossSettings) -> float:
    """Return the loss of targets whose users know nothing else."""
    known = KnownItems(pack_rows([[int(item)] for item in targets]), len(table))
    negatives = Negatives(known, np.random.default_rng(0))
    return float(mean_loss(states, table, targets, settings, np.arange(len(targets)), negatives).detach())


def test_one_negative_is_sasrecs_loss() -> None:
    # Of two items, the only negative there is to draw is the other one.
    states, table = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [-1.0]])
    loss = measure(states, table, torch.tensor([0, 1]), LossSettings())
    wanted = (softplus(-0.5) + softplus(-1.0) + softplus(2.0) + softplus(1.0)) / 2
    assert loss == pytest.approx(wanted, abs=1e-6)


def test_calibrated_loss_by_hand() -> None:
    # All three items are shared negatives of one target, which is ignored: 2 of 2 others, a rate of 3 / 2 as drawn.
    settings = LossSettings("gbce", negatives=3, negative_sharing="step", gbce_calibration=0.5)
    states, table = torch.tensor([[1.0]]), torch.tensor([[0.5], [-1.0], [2.0]])
    loss = measure(states, table, torch.tensor([0]), settings)
    rate = 3 / 2
    power = rate * (0.5 * (1 - 1 / rate) + 1 / rate)
    shift = math.log(power / 3)
    wanted = power * softplus(-0.5 - shift) + softplus(-1.0 + shift) + softplus(2.0 + shift)
    assert loss == pytest.approx(wanted, abs=1e-6)


def test_shared_negatives_of_all_items_are_the_cross_entropy() -> None:
    states, table, targets = make_case()
    everything = LossSettings("softmax", negatives=len(table), negative_sharing="step")
    loss = measure(states, table, targets, everything)
    assert loss == pytest.approx(float(catalog_cross_entropy(states, table, targets).detach()), abs=1e-12)


def test_negatives_of_a_target_are_unknown_to_its_user() -> None:
    negatives = Negatives(KnownItems(pack_rows([[0, 2], [1]]), 4), np.random.default_rng(0))
    drawn = negatives.draw_own(np.array([0, 1, 0] * 300), 3)
    assert drawn.shape == (900, 3)
    assert set(drawn[::3].flatten().tolist()) == {1, 3} == set(drawn[2::3].flatten().tolist())
    assert set(drawn[1::3].flatten().tolist()) == {0, 2, 3}


def test_shared_negatives_are_different_items_and_at_most_all() -> None:
    negatives = Negatives(KnownItems(pack_rows([[0]]), 4), np.random.default_rng(0))
    assert sorted(negatives.draw_shared(9).tolist()) == [0, 1, 2, 3]
    assert len(set(negatives.draw_shared(3).tolist())) == 3
