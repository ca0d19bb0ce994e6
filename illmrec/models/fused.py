"""Norms and gates of a decoder, compiled: what lies between matrix products, done in one run through memory.

On a processor a norm and a gated activation are several passes over their numbers each, forward and back. torch's
compiler makes one loop of each, which takes a while once. What a step gains depends on its tokens: little at a few
hundred a pass, more at thousands (``benchmarks.training --compiled``). Only these four formulas are compiled, on plain
tables of numbers, so neither another shape nor another batch makes it compile again.

A kind of module is exchanged only if the compiled formula gives what the module gives, which is tried on the spot;
other kinds stay as they are. Without gradients the modules run as they are: validation reads users as nights do.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from illmrec.errors import MachineError

_TOLERANCE = {torch.float64: 1e-5, torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest difference, relative to the largest number, between a module and its compiled formula."""


def normalise(values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return ``dtype [n, d]`` divided by their root mean square, times ``weight [d]``."""
    wide = values.float()
    scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    return weight * scaled.to(values.dtype)


def differentiate_norm(pull: Tensor, values: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Return the gradient ``dtype [n, d]`` of :func:`normalise` with respect to its values, pulled back."""
    wide = values.float()
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
    scaled, weighted = wide * scale, pull.float() * weight.float()
    return ((weighted - scaled * (weighted * scaled).mean(-1, keepdim=True)) * scale).to(values.dtype)


def gate(opened: Tensor, values: Tensor) -> Tensor:
    """Return ``silu(opened) * values``, all ``dtype [n, d]``."""
    return silu(opened) * values


def differentiate_gate(pull: Tensor, opened: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients ``dtype [n, d]`` of :func:`gate` with respect to both of its arguments, pulled back."""
    wide, pulled = opened.float(), pull.float()
    share = torch.sigmoid(wide)
    of_opened = pulled * values.float() * share * (1.0 + wide * (1.0 - share))
    return of_opened.to(opened.dtype), (pulled * wide * share).to(values.dtype)


@dataclass(frozen=True)
class _Formulas:
    """The compiled formulas."""

    normalise: Callable[..., Tensor]
    differentiate_norm: Callable[..., Tensor]
    gate: Callable[..., Tensor]
    differentiate_gate: Callable[..., tuple[Tensor, Tensor]]


def fuse(model: nn.Module) -> int:
    """Exchange what is known of a model's norms and gates for compiled formulas; return how many modules.

    Raises:
        MachineError: when this machine has no C++ compiler.
    """
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        hint = "Install one (package g++), or set train.compiled: false."
        raise MachineError("train.compiled needs a C++ compiler, and there is none.", hint=hint)
    formulas = _Formulas(
        normalise=torch.compile(normalise, dynamic=True),
        differentiate_norm=torch.compile(differentiate_norm, dynamic=True),
        gate=torch.compile(gate, dynamic=True),
        differentiate_gate=torch.compile(differentiate_gate, dynamic=True),
    )
    accepted: dict[type, bool] = {}
    changed = 0
    for module in model.modules():
        forward = _find_norm(module, formulas) or _find_gate(module, formulas)
        if forward is None:
            continue
        kind = type(module)
        if kind not in accepted:
            accepted[kind] = _agrees(module, forward)
        if accepted[kind]:
            module.forward = forward
            changed += 1
    return changed


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, epsilon: float, formulas: _Formulas) -> Tensor:
        ctx.save_for_backward(values, weight)
        ctx.epsilon, ctx.formulas = epsilon, formulas
        return formulas.normalise(_lay(values), weight, epsilon).view(values.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        values, weight = ctx.saved_tensors
        found = ctx.formulas.differentiate_norm(_lay(pull), _lay(values), weight, ctx.epsilon)
        return found.view(values.shape), None, None, None


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, opened: Tensor, values: Tensor, formulas: _Formulas) -> Tensor:
        ctx.save_for_backward(opened, values)
        ctx.formulas = formulas
        return formulas.gate(_lay(opened), _lay(values)).view(values.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor | None, ...]:
        opened, values = ctx.saved_tensors
        found = ctx.formulas.differentiate_gate(_lay(pull), _lay(opened), _lay(values))
        return found[0].view(values.shape), found[1].view(values.shape), None


def _lay(values: Tensor) -> Tensor:
    """Return the same numbers as ``[n, d]``, a tensor that is no view: of a view the compiler looks at the whole."""
    numbers = values.detach().contiguous()
    size = (numbers.numel() // numbers.shape[-1], numbers.shape[-1])
    alike = torch.empty(0, dtype=numbers.dtype, device=numbers.device)
    return alike.set_(numbers.untyped_storage(), numbers.storage_offset(), size, (size[1], 1))


def _find_norm(module: nn.Module, formulas: _Formulas) -> Callable[[Tensor], Tensor] | None:
    """Return the compiled form of a root-mean-square norm, or None for another module."""
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, Tensor) or epsilon is None:
        return None
    return functools.partial(_run_norm, module, module.forward, float(epsilon), formulas)


def _run_norm(module: Any, plain: Any, epsilon: float, formulas: _Formulas, values: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return cast("Tensor", plain(values))
    return cast("Tensor", _Norm.apply(values, module.weight, epsilon, formulas))  # type: ignore[no-untyped-call]


def _find_gate(module: nn.Module, formulas: _Formulas) -> Callable[[Tensor], Tensor] | None:
    """Return a gated feed-forward part around the compiled gate, or None for another module."""
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")]
    if any(not isinstance(part, nn.Module) for part in parts) or "SiLU" not in type(parts[3]).__name__:
        return None
    return functools.partial(_run_gate, module, module.forward, formulas)


def _run_gate(module: Any, plain: Any, formulas: _Formulas, values: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return cast("Tensor", plain(values))
    gated = _Gate.apply(module.gate_proj(values), module.up_proj(values), formulas)  # type: ignore[no-untyped-call]
    return cast("Tensor", module.down_proj(gated))


def _agrees(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> bool:
    """Return whether a compiled forward gives what the module gives, and the same gradients."""
    weight = next(module.parameters())
    width = weight.shape[-1]
    drawn = torch.randn(2, 2, 3, width, generator=torch.Generator().manual_seed(0))
    values, pull = drawn.to(weight.device, weight.dtype)
    try:
        found = []
        for run in (module, forward):
            given = values.clone().requires_grad_()
            out = run(given)
            found.append((out.detach(), torch.autograd.grad(out, given, pull)[0]))
    except (RuntimeError, TypeError):
        return False
    limit = _TOLERANCE[weight.dtype]
    return all(float((a - b).abs().max()) <= limit * float(a.abs().max()) for a, b in zip(*found, strict=True))
