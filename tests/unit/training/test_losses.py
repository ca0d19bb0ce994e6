from __future__ import annotations

from math import exp, log

import pytest
import torch

from illmrec.training.losses import alignment_losses, retrieval_losses


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def scores(values: list[list[float]]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_bce_with_one_negative_is_equation_1_per_target_and_type() -> None:
    positive, negative = [[2.0, -1.0], [0.5, 3.0]], [[-2.0, 0.0], [1.0, -1.0]]
    expected = [
        [-log(sigmoid(positive[row][kind])) - log(1 - sigmoid(negative[row][kind])) for kind in (0, 1)]
        for row in (0, 1)
    ]
    losses = retrieval_losses(scores(positive), scores(negative)[:, None])
    assert losses.tolist() == [pytest.approx(row, rel=1e-9) for row in expected]


def test_bce_averages_over_negatives_and_leaves_out_the_ignored() -> None:
    negative = scores([[0.1], [0.7], [-2.0]])[None]
    terms = [-log(1 - sigmoid(value)) for value in (0.1, 0.7, -2.0)]
    hit = -log(sigmoid(1.5))
    assert float(retrieval_losses(scores([[1.5]]), negative)) == pytest.approx(hit + sum(terms) / 3)
    ignored = torch.tensor([[False, True, False]])
    found = retrieval_losses(scores([[1.5]]), negative, ignored=ignored)
    assert float(found) == pytest.approx(hit + (terms[0] + terms[2]) / 2)
    everything = torch.ones(1, 3, dtype=torch.bool)
    assert float(retrieval_losses(scores([[1.5]]), negative, ignored=everything)) == pytest.approx(hit)


def test_softmax_is_the_cross_entropy_of_the_target_among_all_that_count() -> None:
    positive, negative = 1.5, [0.1, 0.7, -2.0]
    arguments = scores([[positive]]), scores([[value] for value in negative])[None]
    total = exp(positive) + sum(map(exp, negative))
    assert float(retrieval_losses(*arguments, kind="softmax")) == pytest.approx(-log(exp(positive) / total))
    ignored = torch.tensor([[True, False, False]])
    left = total - exp(negative[0])
    for kind in ("softmax", "cross_entropy"):
        found = retrieval_losses(*arguments, kind=kind, ignored=ignored)
        assert float(found) == pytest.approx(-log(exp(positive) / left))


def test_gbce_weighs_the_target_by_the_share_that_was_sampled() -> None:
    arguments = scores([[0.4]]), scores([[0.1], [-0.3]])[None]
    rate = 2 / 10

    def by_hand(power: float) -> float:
        shift = log(power / 2)
        misses = sum(-log(1 - sigmoid(value + shift)) for value in (0.1, -0.3))
        return -power * log(sigmoid(0.4 + shift)) + misses

    def compute(calibration: float) -> float:
        return float(retrieval_losses(*arguments, kind="gbce", n_items=11, calibration=calibration))

    assert compute(0.0) == pytest.approx(by_hand(1.0))
    assert compute(1.0) == pytest.approx(by_hand(rate))
    assert compute(0.75) == pytest.approx(by_hand(rate * (0.75 * (1 - 1 / rate) + 1 / rate)))


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_asks_equal_scores_for_no_common_change(calibration: float) -> None:
    """Else a model would first have to learn, in a direction that all items share, that most items are wrong."""
    common = torch.zeros((), dtype=torch.float64, requires_grad=True)
    equal = torch.zeros(3, 256, 1, dtype=torch.float64) + common
    losses = retrieval_losses(equal[:, 0], equal, kind="gbce", n_items=3000, calibration=calibration)
    (gradient,) = torch.autograd.grad(losses.sum(), common)
    assert abs(float(gradient)) < 1e-9


def test_gbce_of_one_negative_without_calibration_is_bce() -> None:
    arguments = scores([[0.4]]), scores([[0.1]])[None]
    assert float(retrieval_losses(*arguments, kind="gbce", n_items=11)) == pytest.approx(
        float(retrieval_losses(*arguments, kind="bce"))
    )


def test_retrieval_knows_its_closed_forms() -> None:
    zeros = torch.zeros(7, 3)
    assert retrieval_losses(zeros, zeros[:, None]).mean(0).tolist() == pytest.approx([2 * log(2)] * 3)
    assert retrieval_losses(zeros, torch.zeros(7, 9, 3), kind="softmax").mean(0).tolist() == pytest.approx(
        [log(10)] * 3
    )
    # log(1 - sigmoid) alone would overflow here.
    huge = torch.full((1, 1), 1e4)
    assert float(retrieval_losses(huge, -huge[:, None])) == 0.0
    assert float(retrieval_losses(-huge, huge[:, None])) == pytest.approx(2e4)


def test_the_gradient_of_retrieval_is_sigma() -> None:
    positive = torch.tensor([[0.3]], requires_grad=True)
    negative = torch.tensor([[[-0.7]]], requires_grad=True)
    retrieval_losses(positive, negative).sum().backward()
    assert float(positive.grad) == pytest.approx(-(1 - sigmoid(0.3)), rel=1e-6)
    assert float(negative.grad) == pytest.approx(sigmoid(-0.7), rel=1e-6)


def test_alignment_is_the_cross_entropy_of_each_token() -> None:
    assert alignment_losses(torch.zeros(5, 32), torch.arange(5)).tolist() == pytest.approx([log(32)] * 5)
    logits = torch.tensor([[log(3.0), 0.0], [0.0, 0.0]])
    assert alignment_losses(logits, torch.tensor([0, 1])).tolist() == pytest.approx([log(4 / 3), log(2)], rel=1e-6)
