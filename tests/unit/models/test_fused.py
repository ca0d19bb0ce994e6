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


def read(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    embedded = backbone.embed(torch.arange(3, 23)[None]).detach().requires_grad_()
    states = backbone.run(embedded, torch.arange(20)[None], torch.ones(1, 1, 20, 20, dtype=torch.bool).tril())
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
