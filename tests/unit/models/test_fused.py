"""Compiled norms and gates give what the modules give, and only known kinds are exchanged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from illmrec.errors import MachineError
from illmrec.models import fused
from illmrec.models.backbone import Backbone

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def write_prompt(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    causal = torch.ones(1, 1, 20, 20, dtype=torch.bool).tril()
    return backbone.embed(torch.arange(3, 23)[None]).detach(), torch.arange(20)[None], causal


def read(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    embedded, positions, mask = write_prompt(backbone)
    embedded.requires_grad_()
    states = backbone.run(embedded, positions, mask)
    pull = torch.arange(states.numel(), dtype=torch.float32).reshape(states.shape).cos()
    return states, torch.autograd.grad(states, embedded, pull)[0]


@needs_compiler
def test_a_compiled_model_gives_the_same_states_and_gradients(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, compiled = Backbone(tiny_model_folder), Backbone(tiny_model_folder)
    assert compiled.compile() == 3 * 3 + 1, "two norms and a gate a layer, and the last norm"
    for expected, found in zip(read(plain), read(compiled), strict=True):
        assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)
    with torch.inference_mode():
        states = [backbone.run(*write_prompt(backbone)) for backbone in (plain, compiled)]
    assert torch.equal(*states), "without gradients the modules run as they are"


@needs_compiler
def test_no_shape_makes_it_compile_again(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    backbone = Backbone(tiny_model_folder)
    backbone.compile()
    read(backbone)
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    for rows, length in ((1, 7), (3, 20), (16, 33), (2, 1)):
        embedded = torch.randn(rows, length, backbone.width).requires_grad_()
        mask = torch.ones(rows, 1, length, length, dtype=torch.bool).tril()
        backbone.run(embedded, torch.arange(length).expand(rows, -1), mask).sum().backward()
        assert embedded.grad is not None


class StrangeRMSNorm(nn.Module):
    """Looks like a norm and shifts its result."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(8)), 1e-6

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return fused.normalise(values, 1.0 + self.weight, self.eps)


def test_a_module_that_computes_something_else_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    model = nn.Sequential(StrangeRMSNorm(), nn.Linear(8, 8))
    values = torch.randn(3, 8)
    before = model(values)
    assert fused.fuse(model) == 0
    assert torch.equal(model(values), before)


def test_without_a_compiler_it_is_said_before_anything_is_trained(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_nothing(_: str) -> Any:
        return None

    monkeypatch.setattr(shutil, "which", find_nothing)
    with pytest.raises(MachineError, match=r"needs a C\+\+ compiler"):
        tiny_backbone.compile()
