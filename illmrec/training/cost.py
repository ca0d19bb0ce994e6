"""What training and scoring will take: tokens and arithmetic counted, speed and memory probed for a few seconds.

Counting is exact for the windows and histories looked at, a sample where there are many. A probe runs the real thing on
some of them, so its rate holds for this machine, this language model and these prompt lengths.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from illmrec.data.examples import EpochPlan
from illmrec.data.histories import Indices
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from illmrec.training.loop import Trainer

SAMPLE = 2000
"""Windows or histories that are counted where there are more."""

_SCORED = 64
"""Users of one probed forward pass."""

_ROUNDS = 5
"""Measurements of a rate."""

_STATES = 5
"""Numbers kept of every trained one: itself, its gradient, two moments, and its value in the best state so far."""


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Args:
        passes: users read, over all epochs.
        tokens: prompt tokens, the shared beginning left out where it is read once.
        flops: floating point operations of the language model, forward, and backward where it is trained through.
    """

    passes: int
    tokens: int
    flops: float


@dataclass(frozen=True)
class Rate:
    """Tokens a second, measured several times.

    Args:
        middle: the median.
        slowest: of all measurements.
        fastest: of all measurements.
    """

    middle: float
    slowest: float
    fastest: float


def count_training(trainer: Trainer) -> Work:
    """Count all epochs of a run that does not stop early."""
    plan = trainer.plan(0)
    chosen = _sample(len(plan)).tolist()
    ask = trainer.settings.alignment_weight > 0
    total = flops = 0.0
    for stage, epochs in Counter(map(trainer.stage, range(trainer.total_epochs))).items():
        tokens = trainer.objective.measure(plan, chosen, stage, ask=ask)
        in_stage = tokens.sum() / len(chosen) * len(plan) * epochs
        total += in_stage
        # Weights are frozen, so the backward pass only goes through to the inputs: as much again as the forward pass.
        flops += 2 * in_stage * _count_flops(trainer.recommender, tokens.mean() if len(tokens) else 0.0)
    return Work(len(plan) * trainer.total_epochs, round(total), flops)


def count_scoring(recommender: Recommender, histories: Sequence[Indices]) -> Work:
    """Count one forward pass over every history."""
    chosen = [histories[row] for row in _sample(len(histories))]
    tokens = np.array([_measure_history(recommender, history) for history in chosen])
    mean = float(tokens.mean()) if len(tokens) else 0.0
    total = round(mean * len(histories))
    return Work(len(histories), total, total * _count_flops(recommender, mean))


def count_validations(trainer: Trainer, recommender: Recommender, histories: Sequence[Indices], users: int) -> int:
    """Return the prompt tokens of all validations of a run that does not stop early, each of so many users at most."""
    epochs = trainer.total_epochs // max(1, trainer.settings.validate_every)
    once = count_scoring(recommender, histories)
    return round(once.tokens * min(1.0, users / max(1, once.passes)) * epochs)


def probe_training(trainer: Trainer, seconds: float) -> Rate:
    """Return tokens a second of losses and gradients; the model's parameters stay as they are."""
    plan, size = trainer.plan(0), trainer.settings.batch_size
    tokens = _measure_windows(trainer, plan)

    def run(number: int) -> int:
        first = number * size % max(len(plan) - size, 1)
        trainer.compute_gradients(plan, slice(first, first + size))
        return int(tokens[first : first + size].sum())

    return _probe(run, seconds)


def probe_scoring(recommender: Recommender, histories: Sequence[Indices], seconds: float) -> Rate:
    """Return tokens a second of reading histories."""
    chosen = [histories[row] for row in _sample(len(histories))]

    def run(number: int) -> int:
        first = number * _SCORED % max(len(chosen) - _SCORED, 1)
        some = chosen[first : first + _SCORED]
        recommender.represent_users(some, _SCORED)
        return sum(_measure_history(recommender, history) for history in some)

    return _probe(run, seconds)


def estimate_memory(trainer: Trainer) -> tuple[int, int]:
    """Return bytes of all weights with what training keeps of the trained ones, and of one pass's activations.

    Activations are those that autograd keeps of a small pass, scaled to the longest that the settings allow.
    """
    model = trainer.recommender
    trained = sum(value.numel() for value in model.named_parameters().values())
    weights = model.backbone.weight_bytes + 4 * _STATES * trained
    plan = trainer.plan(0)
    windows = slice(0, min(len(plan), 8))
    kept = measure_saved_bytes(lambda: trainer.compute_losses(plan, windows), model.backbone.weights())
    tokens = _measure_windows(trainer, plan)
    batch = tokens[: trainer.settings.batch_size].sum()
    longest = max(min(batch, trainer.settings.pass_tokens or batch), int(tokens.max()))
    return weights, round(kept / int(tokens[windows].sum()) * longest)


def measure_saved_bytes(run: Callable[[], object], left_out: Iterable[Tensor] = ()) -> int:
    """Return the most that autograd keeps for the backward pass at any moment of ``run``, in bytes.

    A storage counts once, however many tensors share it; the storages of ``left_out`` do not count.
    """
    kept = _Kept({tensor.untyped_storage().data_ptr() for tensor in left_out})
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda saved: saved.tensor):
        run()
    return kept.most


class _Kept:
    """Counts what autograd keeps at the moment, and the most it ever did."""

    def __init__(self, left_out: set[int]) -> None:
        self._left_out = left_out
        self._holders: Counter[int] = Counter()
        self._now = self.most = 0

    def pack(self, tensor: Tensor) -> _Saved:
        """Return what autograd shall keep in place of a tensor."""
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place in self._left_out:
            return _Saved(tensor, None)
        if not self._holders[place]:
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
        self._holders[place] += 1
        return _Saved(tensor, self)

    def release(self, tensor: Tensor) -> None:
        """Note that one holder of a tensor's storage is gone."""
        storage = tensor.untyped_storage()
        self._holders[storage.data_ptr()] -= 1
        if not self._holders[storage.data_ptr()]:
            self._now -= storage.nbytes()


class _Saved:
    """A tensor that autograd keeps; it lives as long as autograd wants it."""

    def __init__(self, tensor: Tensor, counter: _Kept | None) -> None:
        self.tensor, self._counter = tensor, counter

    def __del__(self) -> None:
        """Tell the counter, while the tensor is still there."""
        if self._counter is not None:
            self._counter.release(self.tensor)


def _probe(run: Callable[[int], int], seconds: float) -> Rate:
    """Return the rates of runs in some rounds of equal length, each of one run at least."""
    run(0)  # buffers are made, threads start
    number, rates = 0, []
    for _ in range(_ROUNDS):
        tokens, start = 0, time.perf_counter()
        while not tokens or time.perf_counter() - start < seconds / _ROUNDS:
            number += 1
            tokens += run(number)
        rates.append(tokens / (time.perf_counter() - start))
    return Rate(statistics.median(rates), min(rates), max(rates))


def _sample(count: int) -> np.ndarray:
    if count <= SAMPLE:
        return np.arange(count)
    return np.sort(generator(0, "cost").choice(count, SAMPLE, replace=False))


def _measure_windows(trainer: Trainer, plan: EpochPlan) -> np.ndarray:
    """Return ``int64 [n]``: tokens of each window; retrieval asks about every one, so none is left out."""
    return trainer.objective.measure(plan, range(len(plan)), ask=trainer.settings.alignment_weight > 0)


def _measure_history(recommender: Recommender, history: Indices) -> int:
    shown = recommender.cut_history(history)
    constant = recommender.prompt.constant_tokens - (len(recommender.prompt.head) if recommender.shares_prefix else 0)
    return int(recommender.prompt.items.lengths[shown].sum()) + constant


def _count_flops(recommender: Recommender, context: float) -> float:
    """Return operations of one token's forward pass: two a weight, and comparing it with its context."""
    backbone = recommender.backbone
    return 2.0 * backbone.parameters_per_token + 4.0 * backbone.layers * backbone.width * context
