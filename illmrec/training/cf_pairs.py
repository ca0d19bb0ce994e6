"""Training of matrix factorisation on pairs of a user and an item: BPR-MF and VBPR (Rendle et al., 2009)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.histories import Ragged
from illmrec.data.known_items import KnownItems
from illmrec.models.vbpr import Vbpr
from illmrec.seeds import generator
from illmrec.training.cf_loop import CfResult, Stopping, train_until_best
from illmrec.training.losses import retrieval_losses
from illmrec.training.seeding import seed_everything


@dataclass(frozen=True)
class PairSettings:
    """How to train.

    Args:
        learning_rate: of Adam.
        decay: weight of the squared length of the vectors in a step, per pair.
        batch_size: pairs per step.
        stopping: when to look and when to stop.
        seed: initialisation, order and negatives.
    """

    learning_rate: float
    decay: float
    batch_size: int
    stopping: Stopping
    seed: int


def train_pairs(
    build: Callable[[], Vbpr],
    sequences: Ragged,
    settings: PairSettings,
    validate: Callable[[Vbpr], float],
    label: str,
) -> CfResult[Vbpr]:
    """Train until validation stops improving.

    Args:
        build: makes the untrained model, on the device that it is trained on; called after seeding.
        sequences: training sequences; row = user_index. Their order within a user does not matter.
        settings: how to train.
        validate: the figure to maximise.
        label: what the progress bar is called.
    """
    seed_everything(settings.seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=True)
    owners = np.repeat(np.arange(len(sequences)), sequences.lengths)
    known = KnownItems(sequences, model.items.num_embeddings)

    def run_epoch(epoch: int) -> float:
        rng = generator(settings.seed, "pairs", epoch)
        order, total = rng.permutation(len(owners)), 0.0
        for start in range(0, len(order), settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            users, taken = owners[chosen], sequences.values[chosen].astype(np.int64)
            loss = _measure_loss(model, users, taken, known.draw_others(users, rng), settings.decay)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            total += float(loss.detach()) * len(chosen)
        return total / len(owners)

    return train_until_best(model, run_epoch, validate, settings.stopping, label)


def _measure_loss(
    model: Vbpr,
    users: npt.NDArray[np.int64],
    taken: npt.NDArray[np.int64],
    others: npt.NDArray[np.int64],
    decay: float,
) -> Tensor:
    """Return the mean of ``-log sigma(s+ - s-)``, which is the cross entropy of two, and of the decay."""
    device = model.items.weight.device
    readers = model.describe_users(torch.from_numpy(users).to(device))
    right, wrong = (model.describe_items(torch.from_numpy(items).to(device)) for items in (taken, others))
    positive, negative = ((readers * items).sum(-1) for items in (right, wrong))
    losses = retrieval_losses(positive[:, None], negative[:, None, None], kind="softmax")
    # A user's last coordinate is the constant 1 that the item's bias is multiplied by.
    lengths = readers[:, :-1].square().sum(-1) + right.square().sum(-1) + wrong.square().sum(-1)
    return losses.mean() + decay * lengths.mean()
