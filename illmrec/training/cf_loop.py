"""The loop that every CF model is trained by: epochs until validation stops improving, the best state kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import nn

from illmrec.progress import track

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Stopping:
    """When to look and when to stop.

    Args:
        epochs: most epochs.
        patience: validations without improvement before stopping.
        validate_every: epochs between validations; the last epoch is always validated.
    """

    epochs: int
    patience: int
    validate_every: int


@dataclass(frozen=True)
class CfResult(Generic[Model]):
    """The best state and how it came about: ``curve`` has an entry per epoch, some with ``validation``."""

    model: Model
    curve: list[dict[str, float]]
    best_epoch: int
    best_score: float


def train_until_best(
    model: Model,
    run_epoch: Callable[[int], float],
    validate: Callable[[Model], float],
    stopping: Stopping,
    label: str,
) -> CfResult[Model]:
    """Train until validation stops improving; return the model in its best state, on the processor.

    Args:
        model: the untrained model.
        run_epoch: trains it for one epoch, numbered from 1, and returns the mean loss.
        validate: the figure to maximise.
        stopping: when to look and when to stop.
        label: what the progress bar is called.
    """
    best, best_score, best_epoch, bad = model.state_dict(), -1.0, 0, 0
    curve: list[dict[str, float]] = []
    for epoch in track(range(1, stopping.epochs + 1), label, unit="epoch"):
        model.train()
        curve.append({"epoch": epoch, "loss": run_epoch(epoch)})
        if epoch % stopping.validate_every and epoch != stopping.epochs:
            continue
        score = validate(model.eval())
        curve[-1]["validation"] = score
        if score > best_score:
            best_score, best_epoch, bad = score, epoch, 0
            best = {name: value.detach().clone() for name, value in model.state_dict().items()}
        else:
            bad += 1
            if bad >= stopping.patience:
                break
    model.load_state_dict(best)
    return CfResult(model.cpu().eval(), curve, best_epoch, best_score)
