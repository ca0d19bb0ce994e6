from __future__ import annotations

import math

import pytest
import torch

from illmrec.training import losses
from illmrec.training.losses import catalog_cross_entropy, retrieval_losses


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
    monkeypatch.setattr(losses, "_CHUNK_SCORES", chunk)
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
    found = torch.autograd.grad(catalog_cross_entropy(states, table, targets), (states, table))
    for tensor, gradient in zip((states, table), found, strict=True):
        for place in range(tensor.numel()):
            with torch.no_grad():
                values = []
                for step in (1e-5, -2e-5):
                    tensor.view(-1)[place] += step
                    values.append(float(catalog_cross_entropy(states, table, targets)))
                tensor.view(-1)[place] += 1e-5
            assert float(gradient.view(-1)[place]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-9)


def test_large_scores_do_not_overflow() -> None:
    states, table = torch.tensor([[100.0]]), torch.tensor([[10.0], [9.0]])
    assert float(catalog_cross_entropy(states, table, torch.tensor([1]))) == pytest.approx(100.0)
