"""Cross entropy among all items of the catalog, computed together with its gradients.

Scores are made chunk by chunk, once, and never kept: what is needed beside the inputs and their gradients is one chunk,
whatever the number of targets and items. It is ``cross_entropy`` of :mod:`illmrec.training.losses`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_SCORES = 1_000_000
"""Scores held at a time, about: few enough to stay in the processor's cache."""
_CHUNK_SCORES_GPU = 64_000_000
"""The same on a GPU: 256 MB, enough to keep it busy."""
_CHUNK_ROWS = 64
"""Targets at a time at least, because every chunk reads the whole table."""


def catalog_cross_entropy(states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy ``float []`` of targets among all items.

    Args:
        states: ``float [P, d]``.
        table: ``float [n_items, d]``.
        targets: ``int64 [P]``: item indices.
    """
    loss: Tensor = _CatalogCrossEntropy.apply(states, table, targets)  # type: ignore[no-untyped-call]
    return loss


class _CatalogCrossEntropy(torch.autograd.Function):
    """The gradients are made in the forward pass, while a chunk's scores are at hand."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss and keep the gradients of both inputs."""
        count, total = len(states), states.new_zeros(())
        states_gradient, table_gradient = torch.empty_like(states), torch.zeros_like(table)
        at_once = _CHUNK_SCORES if states.device.type == "cpu" else _CHUNK_SCORES_GPU
        size = min(count, max(_CHUNK_ROWS, at_once // len(table)))
        memory = states.new_empty(size, len(table))
        for start in range(0, count, size):
            part, wanted = states[start : start + size], targets[start : start + size, None]
            scores = torch.mm(part, table.T, out=memory[: len(part)])
            own = scores.gather(1, wanted)
            highest = scores.amax(1, keepdim=True)
            mass = scores.sub_(highest).exp_().sum(1, keepdim=True)
            total += (mass.log() + highest - own).sum()
            # What is left in `scores` is the loss's gradient: probabilities, less 1 at the target.
            scores.div_(mass * count).scatter_add_(1, wanted, torch.full_like(own, -1.0 / count))
            torch.mm(scores, table, out=states_gradient[start : start + size])
            table_gradient.addmm_(scores.T, part)
        ctx.save_for_backward(states_gradient, table_gradient)
        return total / count

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the kept gradients times the loss's own."""
        states_gradient, table_gradient = ctx.saved_tensors
        return states_gradient * upstream[0], table_gradient * upstream[0], None
