from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from illmrec.training import cf_losses
from illmrec.training.cf_losses import LossSettings, catalog_cross_entropy, draw_negatives, mean_loss
from illmrec.training.losses import retrieval_losses


def make_case(positions: int = 7, items: int = 11, width: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    states = torch.randn(positions, width, generator=rng, dtype=torch.float64, requires_grad=True)
    table = torch.randn(items, width, generator=rng, dtype=torch.float64, requires_grad=True)
    return states, table, torch.randint(0, items, (positions,), generator=rng)


def test_cross_entropy_of_a_case_by_hand() -> None:
    # Scores of the three items are 0, ln 2 and ln 5: probabilities 1/8, 2/8 and 5/8.
    states = torch.tensor([[1.0], [1.0]])
    table = torch.tensor([[0.0], [math.log(2)], [math.log(5)]])
    loss = catalog_cross_entropy(states, table, torch.tensor([1, 2]))
    assert float(loss.detach()) == pytest.approx((math.log(4) + math.log(8 / 5)) / 2, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 30, 10_000])
def test_it_is_the_cross_entropy_of_the_shared_losses(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cf_losses, "_CHUNK_SCORES", chunk)
    monkeypatch.setattr(cf_losses, "_CHUNK_ROWS", 1)
    states, table, targets = make_case()
    scores = states @ table.T
    own = scores.gather(1, targets[:, None])
    ignored = torch.arange(len(table)) == targets[:, None]
    plain = retrieval_losses(own, scores[:, :, None], kind="cross_entropy", ignored=ignored).mean()
    wanted = torch.autograd.grad(plain, (states, table))
    loss = catalog_cross_entropy(states, table, targets)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), abs=1e-12)
    found = torch.autograd.grad(3 * loss, (states, table))
    assert all(torch.allclose(ours, 3 * theirs, atol=1e-12) for ours, theirs in zip(found, wanted, strict=True))


def test_its_gradients_are_those_of_differences() -> None:
    states, table, targets = make_case(3, 4, 2)
    assert torch.autograd.gradcheck(lambda s, t: catalog_cross_entropy(s, t, targets), (states, table))


def test_large_scores_do_not_overflow() -> None:
    states, table = torch.tensor([[100.0]]), torch.tensor([[10.0], [9.0]])
    assert float(catalog_cross_entropy(states, table, torch.tensor([1]))) == pytest.approx(100.0)


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
    assert float(loss.detach()) == pytest.approx(power * softplus(-0.5) + softplus(-1.0) + softplus(2.0), abs=1e-6)


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
