"""Training of models that read a history item by item: SASRec, GRU4Rec, BERT4Rec.

They differ in what a training sequence asks (the next item at every position, or hidden items) and in the loss.
Batches, steps and the choice of the best state are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.histories import Ragged
from illmrec.data.known_items import KnownItems
from illmrec.models.bert4rec import Bert4Rec
from illmrec.models.gru4rec import Gru4Rec
from illmrec.models.sasrec import SasRec
from illmrec.models.sequence import pad_left
from illmrec.seeds import generator
from illmrec.training.cf_loop import CfResult, Stopping, train_until_best
from illmrec.training.cf_losses import LossSettings, Negatives, mean_loss
from illmrec.training.seeding import seed_everything

SequenceModel = TypeVar("SequenceModel", bound=SasRec | Gru4Rec | Bert4Rec)
Ask = Callable[[Ragged, np.random.Generator], tuple[Tensor, Tensor]]
"""Turns rows into inputs ``int64 [B, T]``, as the model reads them, and targets ``int64 [B, T]``: item indices, -1
where nothing is asked."""

SHORTEST = 2
"""Sequences with fewer items teach nothing."""


@dataclass(frozen=True)
class CfSettings:
    """How to train; see :class:`pipelines.parameters.training.TrainCfConfig`."""

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int
    validate_every: int
    seed: int
    loss: LossSettings


def train_sequences(
    build: Callable[[], SequenceModel],
    sequences: Ragged,
    settings: CfSettings,
    validate: Callable[[SequenceModel], float],
    ask: Callable[[SequenceModel], Ask],
    label: str,
) -> CfResult[SequenceModel]:
    """Train until validation stops improving.

    In each epoch every sequence is read once; of one with more than ``max_length + 1`` items a stretch that long, drawn
    anew, so that all items are learned from in time.

    Args:
        build: makes the untrained model, on the device that it is trained on; called after seeding.
        sequences: training sequences, oldest first; those with fewer than two items teach nothing.
        settings: how to train.
        validate: the figure to maximise.
        ask: :func:`ask_next` or :func:`ask_hidden`.
        label: what the progress bar is called.
    """
    seed_everything(settings.seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
    rows = sequences.take(np.flatnonzero(sequences.lengths >= SHORTEST))
    known, questions = KnownItems(rows, len(model.item_table())), ask(model)

    def run_epoch(epoch: int) -> float:
        rng = generator(settings.seed, "cf", epoch)
        stretches = rows.draw_stretches(model.max_length + 1, rng)
        negatives = Negatives(known, rng)
        order, losses = rng.permutation(len(rows)), []
        for start in range(0, len(order), settings.batch_size):
            chosen = order[start : start + settings.batch_size]
            states, targets, places = _read_batch(model, stretches.take(chosen), questions, rng)
            loss = mean_loss(states, model.item_table(), targets, settings.loss, chosen[places], negatives)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach() * len(chosen))
        # Read at the end of the epoch: a GPU would have to be waited for at each step.
        return float(torch.stack(losses).cpu().double().sum()) / len(rows)

    stopping = Stopping(settings.epochs, settings.patience, settings.validate_every)
    return train_until_best(model, run_epoch, validate, stopping, label)


def _read_batch(
    model: SasRec | Gru4Rec | Bert4Rec, rows: Ragged, questions: Ask, rng: np.random.Generator
) -> tuple[Tensor, Tensor, npt.NDArray[np.int64]]:
    """Return states, targets and rows of all positions at which something is asked.

    They are ``float32 [P, width]`` and ``int64 [P]``, both on the model's device, and ``int64 [P]``.
    """
    states, targets, owners, device = [], [], [], model.items.weight.device
    together = device.type != "cpu"
    for members in [np.arange(len(rows))] if together else _group_by_length(rows.lengths, model.max_length):
        inputs, asked = questions(rows.take(members), rng)
        # Chosen on the processor, which must know how many there are, so that it need not wait for a GPU to say so.
        places = torch.nonzero(asked.flatten() >= 0)[:, 0]
        read = model(inputs.to(device)).flatten(0, 1)
        states.append(read[places.to(device)])
        targets.append(asked.flatten()[places].to(device))
        owners.append(members[places.numpy() // asked.shape[1]])
    return torch.cat(states), torch.cat(targets), np.concatenate(owners)


def _group_by_length(lengths: npt.NDArray[np.int64], max_length: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows in groups whose lengths differ by a factor of up to three, so that little of a group is padding.

    The loss is taken over all of them together, so the grouping changes the time and which draws of dropout and hidden
    items come out, nothing else. More groups would cost
    more than the padding: every one of them has a gradient of the whole item table. On a GPU all
    rows are read at once instead: few large operations rather than many small ones.
    """
    bins = np.searchsorted(3 ** np.arange(1, 20), np.minimum(lengths, max_length))
    for number in np.unique(bins):
        yield np.flatnonzero(bins == number)


def ask_next(model: SasRec | Gru4Rec | Bert4Rec) -> Ask:
    """Return questions for the next item at every position (Kang and McAuley, 2018, section 3.5)."""

    def ask(rows: Ragged, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        del rng
        padded = pad_left(rows, min(model.max_length + 1, int(rows.lengths.max())))
        inputs, targets = padded[:, :-1], padded[:, 1:] - 1
        return inputs, targets.masked_fill(inputs == 0, -1)

    return ask


def ask_hidden(share: float, last_share: float) -> Callable[[Bert4Rec], Ask]:
    """Return questions for hidden items (Sun et al., 2019, section 3.6), as :func:`train_sequences` takes them.

    Args:
        share: chance of each item to be hidden.
        last_share: share of sequences of which the last item alone is hidden, as it is when a model is used.
    """

    def prepare(model: Bert4Rec) -> Ask:
        def ask(rows: Ragged, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            padded = pad_left(rows, min(model.max_length, int(rows.lengths.max())))
            hide = torch.from_numpy(_choose_hidden(padded.numpy() != 0, share, last_share, rng))
            return padded.masked_fill(hide, model.hidden), (padded - 1).masked_fill(~hide, -1)

        return ask

    return prepare


def _choose_hidden(
    known: npt.NDArray[np.bool_], share: float, last_share: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return ``bool [B, T]``: the places to hide, at least one of each row; ``known`` is False for padding."""
    hide = (rng.random(known.shape) < share) & known
    last_only = (rng.random(len(known)) < last_share) | ~hide.any(axis=1)
    hide[last_only] = False
    hide[last_only, -1] = True
    return hide


def mark_trained_items(sequences: Ragged, n_items: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return ``bool [n_items]``: True where an item occurs in a training sequence, so was learned."""
    marks = np.zeros(n_items, dtype=np.bool_)
    marks[sequences.values] = True
    return marks
