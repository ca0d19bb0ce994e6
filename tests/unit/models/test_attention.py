"""Attention of our own: what torch's gives, and gradients as near to the exact ones as bfloat16 allows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from illmrec.models import attention
from illmrec.models.attention import NAME, attend
from illmrec.models.backbone import Backbone

HEADS, WIDTH, LENGTH, COLUMNS, ROWS = 6, 16, 23, 31, 3


class Layer(nn.Module):
    """What transformers hands over of an attention layer."""

    is_causal = True

    def __init__(self, served: int) -> None:
        super().__init__()
        self.num_key_value_groups = served


def draw(served: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    keys = (ROWS, HEADS // served, COLUMNS, WIDTH)
    tensors = [torch.randn(size) for size in ((ROWS, HEADS, LENGTH, WIDTH), keys, keys)]
    mask = torch.rand(ROWS, 1, LENGTH, COLUMNS) < 0.4
    mask[..., 0] = True
    return [tensor.to(dtype).requires_grad_() for tensor in tensors], mask


def differentiate(tensors: list[Tensor], mask: Tensor, served: int, **options: float) -> tuple[Tensor, list[Tensor]]:
    found, weights = attend(Layer(served), *tensors, mask, **options)
    assert weights is None
    assert found.shape == (ROWS, LENGTH, HEADS, WIDTH)
    steps = torch.arange(found.numel(), dtype=torch.float32).reshape(found.shape).cos()
    return found, list(torch.autograd.grad((found.float() * steps).sum(), tensors))


@pytest.mark.parametrize("served", [1, 2, 3])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_gradients_are_the_exact_ones_up_to_rounding(served: int, scaling: float | None) -> None:
    tensors, mask = draw(served, torch.bfloat16)
    found, gradients = differentiate(tensors, mask, served, scaling=scaling)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    expected, wanted = differentiate(exact, mask, served, scaling=scaling)
    assert torch.allclose(found.double(), expected, atol=0.03)
    for gradient, wish in zip(gradients, wanted, strict=True):
        assert gradient.dtype == torch.bfloat16
        assert float((gradient.double() - wish).norm() / wish.norm()) < 0.015


def test_gradients_are_no_further_off_than_four_times_those_of_torch() -> None:
    tensors, mask = draw(1, torch.bfloat16)
    _, ours = differentiate(tensors, mask, 1)
    theirs_found = scaled_dot_product_attention(*tensors, attn_mask=mask).transpose(1, 2)
    steps = torch.arange(theirs_found.numel(), dtype=torch.float32).reshape(theirs_found.shape).cos()
    theirs = torch.autograd.grad((theirs_found.float() * steps).sum(), tensors)
    _, exact = differentiate([tensor.detach().double().requires_grad_() for tensor in tensors], mask, 1)
    for one, other, wish in zip(ours, theirs, exact, strict=True):
        assert (one.double() - wish).norm() < 4.0 * (other.double() - wish).norm()


def test_what_is_read_without_training_is_the_same_to_the_bit() -> None:
    tensors, mask = draw(2, torch.bfloat16)
    trained, _ = differentiate(tensors, mask, 2)
    with torch.no_grad():
        read, _ = attend(Layer(2), *tensors, mask)
    assert torch.equal(trained, read)


@pytest.mark.parametrize("case", ["single precision", "a long row", "dropout", "no mask"])
def test_other_cases_are_left_to_torch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("not this way")

    monkeypatch.setattr(attention._Attention, "apply", refuse)
    tensors, mask = draw(1, torch.float32 if case == "single precision" else torch.bfloat16)
    if case == "a long row":
        monkeypatch.setattr(attention, "LONGEST", COLUMNS - 1)
    found, _ = attend(
        Layer(1), *tensors, None if case == "no mask" else mask, dropout=0.5 if case == "dropout" else 0.0
    )
    assert found.shape == (ROWS, LENGTH, HEADS, WIDTH)


def test_a_backbone_uses_it_and_its_hidden_tokens_stay_hidden(tiny_model_folder: Path) -> None:
    backbone = Backbone(tiny_model_folder, torch.bfloat16)
    assert backbone._model.config._attn_implementation == NAME
    embedded = backbone.embed(torch.arange(3, 23)[None]).detach().requires_grad_()
    mask = torch.ones(1, 1, 20, 20, dtype=torch.bool).tril()
    mask[..., 7] = False
    mask[..., 7, 7] = True
    states = backbone.run(embedded, torch.arange(20)[None], mask)
    (gradient,) = torch.autograd.grad(states[0, 10:].float().sum(), embedded)
    assert torch.equal(gradient[0, 7], torch.zeros_like(gradient[0, 7]))
    assert gradient[0, 6].abs().max() > 0
