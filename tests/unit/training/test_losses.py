from __future__ import annotations

from math import exp, log

import pytest
import torch

from illmrec.training.losses import alignment_loss, retrieval_losses


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_retrieval_is_equation_1_per_type() -> None:
    positive, negative = [[2.0, -1.0], [0.5, 3.0]], [[-2.0, 0.0], [1.0, -1.0]]
    expected = [
        sum(-log(sigmoid(positive[row][kind])) - log(1 - sigmoid(negative[row][kind])) for row in (0, 1)) / 2
        for kind in (0, 1)
    ]
    losses = retrieval_losses(torch.tensor(positive), torch.tensor(negative))
    assert losses.tolist() == pytest.approx(expected, rel=1e-6)


def test_retrieval_knows_its_closed_forms() -> None:
    zeros = torch.zeros(7, 3)
    assert retrieval_losses(zeros, zeros).tolist() == pytest.approx([2 * log(2)] * 3)
    # log(1 - sigmoid) alone would overflow here.
    huge = torch.full((1, 1), 1e4)
    assert float(retrieval_losses(huge, -huge)) == 0.0
    assert float(retrieval_losses(-huge, huge)) == pytest.approx(2e4)


def test_the_gradient_of_retrieval_is_sigma() -> None:
    positive = torch.tensor([[0.3]], requires_grad=True)
    negative = torch.tensor([[-0.7]], requires_grad=True)
    retrieval_losses(positive, negative).sum().backward()
    assert float(positive.grad) == pytest.approx(-(1 - sigmoid(0.3)), rel=1e-6)
    assert float(negative.grad) == pytest.approx(sigmoid(-0.7), rel=1e-6)


def test_alignment_is_the_mean_cross_entropy_over_tokens() -> None:
    assert float(alignment_loss(torch.zeros(5, 32), torch.arange(5))) == pytest.approx(log(32))
    logits = torch.tensor([[log(3.0), 0.0], [0.0, 0.0]])
    assert float(alignment_loss(logits, torch.tensor([0, 1]))) == pytest.approx((log(4 / 3) + log(2)) / 2, rel=1e-6)
