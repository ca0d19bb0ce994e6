"""Losses of states against item embeddings: the whole catalog at a time, or a few sampled negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor

from illmrec.data.known_items import KnownItems
from illmrec.training.losses import RetrievalLoss, catalog_cross_entropy, retrieval_losses


@dataclass(frozen=True)
class LossSettings:
    """What is minimised.

    Args:
        loss: see :func:`illmrec.training.losses.retrieval_losses`; ``cross_entropy`` is over the whole catalog.
        negatives: how many are sampled, uniformly; without use for ``cross_entropy``.
        negative_sharing: ``target`` draws them for each target anew, from what its user does not know; ``step`` draws
            them once for all targets of a step, without replacement, and ignores one where it is the target.
        gbce_calibration: of ``gbce``.
    """

    loss: RetrievalLoss = "bce"
    negatives: int = 1
    negative_sharing: Literal["target", "step"] = "target"
    gbce_calibration: float = 0.0


@dataclass(frozen=True)
class Negatives:
    """Draws what targets are told from.

    Args:
        known: what each user knows.
        rng: draws.
    """

    known: KnownItems
    rng: np.random.Generator

    def draw_own(self, users: npt.NDArray[np.int64], count: int) -> Tensor:
        """Return ``int64 [P, count]``: for each target items that its user does not know (``users``, ``int64 [P]``)."""
        return torch.from_numpy(self.known.draw_others(np.repeat(users, count), self.rng).reshape(-1, count))

    def draw_shared(self, count: int) -> Tensor:
        """Return ``int64 [count]``: different items of the whole catalog, at most all of them."""
        n_items = self.known.n_items
        return torch.from_numpy(self.rng.choice(n_items, size=min(count, n_items), replace=False))


def mean_loss(
    states: Tensor,
    table: Tensor,
    targets: Tensor,
    settings: LossSettings,
    users: npt.NDArray[np.int64],
    negatives: Negatives,
) -> Tensor:
    """Return the mean loss ``float32 []`` over targets.

    Args:
        states: ``float32 [P, d]``: what each target is to be told from.
        table: ``float32 [n_items, d]``: item embeddings.
        targets: ``int64 [P]``: item indices.
        settings: what is minimised.
        users: ``int64 [P]``: whose target each is.
        negatives: draws the negatives.
    """
    if settings.loss == "cross_entropy":
        return catalog_cross_entropy(states, table, targets)
    positive = (states * functional.embedding(targets, table)).sum(-1)
    if settings.negative_sharing == "target":
        drawn = negatives.draw_own(users, settings.negatives).to(table.device)
        scores, ignored = torch.einsum("pd,pnd->pn", states, functional.embedding(drawn, table)), None
    else:
        drawn = negatives.draw_shared(settings.negatives).to(table.device)
        scores, ignored = states @ functional.embedding(drawn, table).T, drawn == targets[:, None]
    losses = retrieval_losses(
        positive[:, None],
        scores[:, :, None],
        kind=settings.loss,
        ignored=ignored,
        n_items=len(table),
        calibration=settings.gbce_calibration,
    )
    return losses.mean()
