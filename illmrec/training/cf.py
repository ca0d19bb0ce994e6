"""Training of SASRec on training interactions, with one negative per position (Kang and McAuley, 2018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from illmrec.data.histories import Ragged
from illmrec.models.sasrec import SasRec, pad_left
from illmrec.progress import track
from illmrec.seeds import generator
from illmrec.training.seeding import seed_everything


@dataclass(frozen=True)
class CfSettings:
    """How to train SASRec; see :class:`illmrec.config.TrainCfConfig`."""

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    validate_every: int
    seed: int


@dataclass(frozen=True)
class CfResult:
    """The best state and how it came about: ``curve`` has an entry per epoch, some with ``validation``."""

    model: SasRec
    curve: list[dict[str, float]]
    best_epoch: int
    best_score: float


def train_sasrec(
    build: Callable[[], SasRec], sequences: Ragged, settings: CfSettings, validate: Callable[[SasRec], float]
) -> CfResult:
    """Train until validation stops improving.

    Args:
        build: makes the untrained model; called after seeding.
        sequences: training sequences, oldest first; those with fewer than two items teach nothing.
        settings: how to train.
        validate: the figure to maximise.
    """
    seed_everything(settings.seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98))
    rows = [sequences[row] for row in range(len(sequences)) if len(sequences[row]) >= 2]
    inputs = pad_left([row[:-1] for row in rows], model.max_length)
    targets = pad_left([row[1:] for row in rows], model.max_length)
    best, best_score, best_epoch, bad = model.state_dict(), -1.0, 0, 0
    curve: list[dict[str, float]] = []
    for epoch in track(range(1, settings.epochs + 1), "sasrec", unit="epoch"):
        curve.append({"epoch": epoch, "loss": _run_epoch(model, optimizer, inputs, targets, settings, epoch)})
        if epoch % settings.validate_every and epoch != settings.epochs:
            continue
        score = validate(model)
        curve[-1]["validation"] = score
        if score > best_score:
            best_score, best_epoch, bad = score, epoch, 0
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
        else:
            bad += 1
            if bad >= settings.patience:
                break
    model.load_state_dict(best)
    return CfResult(model.eval(), curve, best_epoch, best_score)


def _run_epoch(
    model: SasRec, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, settings: CfSettings, epoch: int
) -> float:
    model.train()
    rng = generator(settings.seed, "cf", epoch)
    n_items = model.items.num_embeddings - 1
    order = torch.from_numpy(rng.permutation(len(inputs)))
    total = 0.0
    for rows in order.split(settings.batch_size):
        # Trimming the columns that are padding in every row changes nothing but the time.
        size = int((inputs[rows] != 0).sum(1).max())
        positives = targets[rows, -size:]
        negatives = torch.from_numpy(rng.integers(1, n_items, positives.shape))
        negatives = negatives + (negatives >= positives)
        loss = _position_loss(model, inputs[rows, -size:], positives, negatives)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach()) * len(rows)
    return total / len(inputs)


def _position_loss(model: SasRec, inputs: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return the mean binary cross entropy over the positions that have a target."""
    states = model(inputs)
    known = positives != 0
    positive = (states * model.items(positives)).sum(-1)[known]
    negative = (states * model.items(negatives)).sum(-1)[known]
    return (functional.softplus(-positive) + functional.softplus(negative)).mean()


def mark_trained_items(sequences: Ragged, n_items: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return ``bool [n_items]``: True where an item occurs in a training sequence, so was learned."""
    marks = np.zeros(n_items, dtype=np.bool_)
    marks[sequences.values] = True
    return marks
