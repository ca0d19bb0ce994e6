"""Norms and gates of a decoder, compiled: what lies between matrix products, done in one run through memory.

On a processor a root-mean-square norm is eight passes over its numbers forward and more backward, a gated activation
five: a third of the time of a training step of a small language model. torch's compiler makes one loop of each, which
takes half a minute once. Nothing else of the model is compiled, so no shape and no batch makes it compile again.

A kind of module is exchanged only if the compiled formula gives what the module gives, which is tried on the spot;
other kinds stay as they are.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from illmrec.errors import MachineError

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest difference, relative to the largest number, between a module and its compiled formula."""


def normalise(values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return ``dtype [..., d]`` divided by their root mean square, times ``weight [d]``."""
    wide = values.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * scaled.to(values.dtype)


def gate(opened: Tensor, values: Tensor) -> Tensor:
    """Return ``silu(opened) * values``, all of one shape."""
    return silu(opened) * values


def fuse(model: nn.Module) -> int:
    """Exchange what is known of a model's norms and gates for compiled formulas; return how many modules.

    Raises:
        MachineError: when this machine has no C++ compiler.
    """
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        hint = "Install one (package g++), or set train.compiled: false."
        raise MachineError("train.compiled needs a C++ compiler, and there is none.", hint=hint)
    compiled_norm = torch.compile(normalise, dynamic=True)
    compiled_gate = torch.compile(gate, dynamic=True)
    accepted: dict[type, bool] = {}
    changed = 0
    for module in model.modules():
        forward = _find_norm(module, compiled_norm) or _find_gate(module, compiled_gate)
        if forward is None:
            continue
        kind = type(module)
        if kind not in accepted:
            accepted[kind] = _agrees(module, forward)
        if accepted[kind]:
            module.forward = forward
            changed += 1
    return changed


def _find_norm(module: nn.Module, compiled: Callable[..., Tensor]) -> Callable[[Tensor], Tensor] | None:
    """Return the compiled form of a root-mean-square norm, or None for another module."""
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, Tensor) or epsilon is None:
        return None
    return functools.partial(_run_norm, module, compiled, float(epsilon))


def _run_norm(module: Any, compiled: Callable[..., Tensor], epsilon: float, values: Tensor) -> Tensor:
    return compiled(values, module.weight, epsilon)


def _find_gate(module: nn.Module, compiled: Callable[..., Tensor]) -> Callable[[Tensor], Tensor] | None:
    """Return a gated feed-forward part around the compiled gate, or None for another module."""
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")]
    if any(not isinstance(part, nn.Module) for part in parts) or "SiLU" not in type(parts[3]).__name__:
        return None
    return functools.partial(_run_gate, module, compiled)


def _run_gate(module: Any, compiled: Callable[..., Tensor], values: Tensor) -> Tensor:
    shown: Tensor = module.down_proj(compiled(module.gate_proj(values), module.up_proj(values)))
    return shown


def _agrees(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> bool:
    """Return whether a compiled forward gives what the module gives, with gradients wanted and without."""
    weight = next(module.parameters())
    width = weight.shape[-1]
    drawn = torch.randn(2, 2, 3, width, generator=torch.Generator().manual_seed(0))
    values, pull = drawn.to(weight.device, weight.dtype)
    try:
        with torch.no_grad():
            expected, found = module(values), forward(values)
        gradients = [
            torch.autograd.grad(run(given := values.clone().requires_grad_()), given, pull)[0]
            for run in (module, forward)
        ]
    except (RuntimeError, TypeError):
        return False
    pairs = ((expected, found), (gradients[0], gradients[1]))
    return all(float((a - b).abs().max()) <= _TOLERANCE[weight.dtype] * float(a.abs().max()) for a, b in pairs)
