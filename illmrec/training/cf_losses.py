"""Losses of states against item embeddings: the whole catalog at a time, or a few sampled negatives.

The sampled losses are those of :mod:`illmrec.training.losses`. The loss over the whole catalog is its
``cross_entropy``, computed chunk by chunk together with the gradients, so that scores are made once and never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from illmrec.training.losses import RetrievalLoss, retrieval_losses

_CHUNK_SCORES = 1_000_000
"""Scores held at a time, about: few enough to stay in the processor's cache."""
_CHUNK_SCORES_GPU = 64_000_000
"""The same on a GPU: 256 MB, enough to keep it busy."""
_CHUNK_ROWS = 64
"""Targets at a time at least, because every chunk reads the whole table."""


@dataclass(frozen=True)
class LossSettings:
    """What is minimised.

    Args:
        kind: see :func:`illmrec.training.losses.retrieval_losses`; ``cross_entropy`` is over the whole catalog.
        negatives: how many are sampled, uniformly; without use for ``cross_entropy``.
        sharing: ``target`` draws them for each target anew, never the target itself; ``step`` draws them once for all
            targets of a step, without replacement, and ignores one where it is the target.
        calibration: of ``gbce``.
    """

    kind: RetrievalLoss = "bce"
    negatives: int = 1
    sharing: Literal["target", "step"] = "target"
    calibration: float = 0.0


def mean_loss(
    states: Tensor, table: Tensor, targets: Tensor, settings: LossSettings, rng: np.random.Generator
) -> Tensor:
    """Return the mean loss ``float32 []`` over targets.

    Args:
        states: ``float32 [P, d]``: what each target is to be told from.
        table: ``float32 [n_items, d]``: item embeddings; at least two items unless the loss is ``cross_entropy``.
        targets: ``int64 [P]``: item indices.
        settings: what is minimised.
        rng: draws the negatives.
    """
    if settings.kind == "cross_entropy":
        return catalog_cross_entropy(states, table, targets)
    positive = (states * functional.embedding(targets, table)).sum(-1)
    if settings.sharing == "target":
        negatives = draw_negatives(targets, len(table), settings.negatives, rng)
        scores, ignored = torch.einsum("pd,pnd->pn", states, functional.embedding(negatives, table)), None
    else:
        shared = rng.choice(len(table), size=min(settings.negatives, len(table)), replace=False)
        drawn = torch.from_numpy(shared).to(table.device)
        scores, ignored = states @ functional.embedding(drawn, table).T, drawn == targets[:, None]
    losses = retrieval_losses(
        positive[:, None],
        scores[:, :, None],
        kind=settings.kind,
        ignored=ignored,
        n_items=len(table),
        calibration=settings.calibration,
    )
    return losses.mean()


def draw_negatives(targets: Tensor, n_items: int, count: int, rng: np.random.Generator) -> Tensor:
    """Return ``int64 [P, count]``: for each target items drawn uniformly from all others."""
    drawn = torch.from_numpy(rng.integers(0, n_items - 1, (len(targets), count))).to(targets.device)
    return drawn + (drawn >= targets[:, None])


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
