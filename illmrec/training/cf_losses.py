"""Losses of states against item embeddings: the whole catalog at a time, or a few sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from illmrec.training.losses import RetrievalLoss, catalog_cross_entropy, retrieval_losses


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
