from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from illmrec.training.cf_losses import LossSettings, draw_negatives, mean_loss
from illmrec.training.losses import catalog_cross_entropy
from tests.unit.training.test_catalog_loss import make_case


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_one_negative_is_sasrecs_loss() -> None:
    # Of two items, the only negative there is to draw is the other one.
    states, table = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.5], [-1.0]])
    loss = mean_loss(states, table, torch.tensor([0, 1]), LossSettings(), np.random.default_rng(0))
    wanted = (softplus(-0.5) + softplus(-1.0) + softplus(2.0) + softplus(1.0)) / 2
    assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)


def test_calibrated_loss_by_hand() -> None:
    # All three items are shared negatives of one target, which is ignored: 2 of 2 others, a rate of 3 / 2 as drawn.
    settings = LossSettings("gbce", negatives=3, sharing="step", calibration=0.5)
    states, table = torch.tensor([[1.0]]), torch.tensor([[0.5], [-1.0], [2.0]])
    loss = mean_loss(states, table, torch.tensor([0]), settings, np.random.default_rng(0))
    rate = 3 / 2
    power = rate * (0.5 * (1 - 1 / rate) + 1 / rate)
    shift = math.log(power / 3)
    wanted = power * softplus(-0.5 - shift) + softplus(-1.0 + shift) + softplus(2.0 + shift)
    assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)


def test_shared_negatives_of_all_items_are_the_cross_entropy() -> None:
    states, table, targets = make_case()
    everything = LossSettings("softmax", negatives=len(table), sharing="step")
    loss = mean_loss(states, table, targets, everything, np.random.default_rng(0))
    assert float(loss.detach()) == pytest.approx(
        float(catalog_cross_entropy(states, table, targets).detach()), abs=1e-12
    )


def test_negatives_are_all_other_items_equally_often() -> None:
    targets = torch.arange(4).repeat(5000)
    drawn = draw_negatives(targets, 4, 3, np.random.default_rng(0))
    assert drawn.shape == (20_000, 3)
    counts = torch.stack([torch.bincount(drawn[targets == item].ravel(), minlength=4) for item in range(4)])
    assert not counts.diagonal().any()
    others = counts[~torch.eye(4, dtype=torch.bool)].float()
    assert float((others - 5000).abs().max()) < 300
