"""The training loop: epochs of planned examples, validation on ranking, checkpoints, exact resume.

Every random draw is a function of the seed and the epoch or step, and the model has no dropout, so parameters,
optimizer moments and the step number are the whole state: a resumed run equals an uninterrupted one bit for bit on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from illmrec.data.examples import EpochPlan, NegativeRule, Supervision, Window, plan_epoch
from illmrec.data.histories import Ragged
from illmrec.errors import ModelError
from illmrec.models.batch import PromptBatch, Request, build_training_batch
from illmrec.models.recommender import Recommender
from illmrec.progress import track
from illmrec.training.checkpoint import Checkpoint, load_latest, pack_optimizer, save_checkpoint, unpack_optimizer
from illmrec.training.losses import alignment_loss, retrieval_losses


@dataclass(frozen=True)
class LoopSettings:
    """How to train; see :class:`illmrec.config.TrainConfig` for the meaning of each."""

    window: Window
    supervision: Supervision
    negative_rule: NegativeRule
    alignment_weight: float
    retrieval_weight: float
    learning_rate: float
    weight_decay: float
    warmup_share: float
    schedule: Literal["constant", "linear"]
    batch_size: int
    epochs: int
    validate_every: int
    patience: int
    checkpoint_steps: int
    seed: int


class Journal(Protocol):
    """Where curves go."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Keep values of one step."""


@dataclass
class Progress:
    """The JSON part of the training state."""

    step: int = 0
    best_score: float = -math.inf
    best_step: int = 0
    bad_validations: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    """Facts of the caller's, such as the tracking run to continue."""

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return vars(self) | {"best_score": None if math.isinf(self.best_score) else self.best_score}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Progress:
        """Return the state that :meth:`to_json` gave."""
        return cls(**(state | {"best_score": -math.inf if state["best_score"] is None else state["best_score"]}))


class Trainer:
    """Trains the parts of a recommender.

    Args:
        recommender: the model; only its trained parts change.
        sequences: training sequences, oldest first.
        settings: how to train.
        validate: returns the figure to maximise, given the recommender as it stands.
        checkpoints: folder of this very run's checkpoints (its name should identify data and settings).
        journal: where curves go.
    """

    def __init__(
        self,
        recommender: Recommender,
        sequences: Ragged,
        settings: LoopSettings,
        *,
        validate: Callable[[Recommender], float],
        checkpoints: Path,
        journal: Journal,
    ) -> None:
        self.recommender = recommender
        self.sequences = sequences
        self.settings = settings
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.warnings: list[str] = []
        self._validate, self._checkpoints, self._journal = validate, checkpoints, journal
        self._names = [name for name, _ in recommender.parts.named_parameters()]
        self._optimizer = torch.optim.AdamW(
            recommender.parts.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._answerable = [np.asarray(recommender.prompt.answerable_templates(i)) for i in range(recommender.n_items)]
        self.steps_per_epoch = math.ceil(len(self._plan(0)) / settings.batch_size)
        if not self.steps_per_epoch:
            raise ModelError("no user has two training interactions.", hint="Lower prepare.user_core or add data.")

    @property
    def total_steps(self) -> int:
        """Steps of a run that does not stop early."""
        return self.settings.epochs * self.steps_per_epoch

    def resume(self) -> bool:
        """Continue from the newest good checkpoint, if there is one; damaged ones go to ``warnings``."""
        checkpoint, self.warnings = load_latest(self._checkpoints)
        if checkpoint is None:
            return False
        named = dict(checkpoint.tensors)
        self.recommender.parts.load_state_dict({name: named[f"model/{name}"] for name in self._names})
        unpack_optimizer(self._optimizer, self._names, named)
        self.best = {name.removeprefix("best/"): tensor for name, tensor in named.items() if name.startswith("best/")}
        self.progress = Progress.from_json(dict(checkpoint.state))
        return True

    def run(self) -> dict[str, Tensor]:
        """Train to the end and return the best state seen on validation, which is also loaded into the model."""
        done = self.progress.step // self.steps_per_epoch
        for epoch in range(done, self.settings.epochs):
            if self.progress.bad_validations >= self.settings.patience:
                break
            self._run_epoch(epoch)
        self.recommender.parts.load_state_dict(self.best)
        return self.best

    def _run_epoch(self, epoch: int) -> None:
        plan = self._plan(epoch)
        first = self.progress.step - epoch * self.steps_per_epoch
        label = f"epoch {epoch + 1}/{self.settings.epochs}"
        for number in track(range(first, self.steps_per_epoch), label, unit="step"):
            rows = slice(number * self.settings.batch_size, (number + 1) * self.settings.batch_size)
            losses = self._step(plan, rows)
            self.progress.step += 1
            self._record(losses)
            last = number + 1 == self.steps_per_epoch
            if last and ((epoch + 1) % self.settings.validate_every == 0 or epoch + 1 == self.settings.epochs):
                self._run_validation()
            if last or self.progress.step % self.settings.checkpoint_steps == 0:
                self.save()

    def _step(self, plan: EpochPlan, rows: slice) -> dict[str, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.progress.step)
        losses = self.compute_losses(plan, rows)
        settings = self.settings
        retrieval = sum(value for name, value in losses.items() if name != "alignment")
        total = settings.retrieval_weight * retrieval + settings.alignment_weight * losses.get("alignment", 0.0)
        if not isinstance(total, Tensor) or not torch.isfinite(total):
            users = plan.users[rows].tolist()
            hint = "Lower train.learning_rate, or look at these users' items for broken features."
            raise ModelError(f"the loss at step {self.progress.step} is not finite; user_index {users}.", hint=hint)
        self._optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._optimizer.step()
        return {"loss": float(total.detach())} | {name: float(value.detach()) for name, value in losses.items()}

    def compute_losses(self, plan: EpochPlan, rows: slice) -> dict[str, Tensor]:
        """Return the unweighted losses of some windows of a plan: one per feature type, and ``alignment``."""
        model, heads = self.recommender, self.recommender.parts.heads
        batch = self.build_prompts(plan, rows)
        encoded = model.encode(batch)
        users = heads.project_users(encoded.users)
        asked = slice(plan.target_offsets[rows.start], plan.target_offsets[min(rows.stop, len(plan))])
        targets = self.sequences.values[plan.targets[asked]]
        positives = model.project_items_by_type(np.repeat(targets[:, None], len(heads.kinds), axis=1))
        negatives = model.project_items_by_type(plan.negatives[asked])
        by_type = retrieval_losses(heads.split_scores(users, positives), heads.split_scores(users, negatives))
        losses = dict(zip(heads.kinds, by_type.unbind(), strict=True))
        if encoded.answer_logits is not None:
            losses["alignment"] = alignment_loss(encoded.answer_logits, batch.answer_tokens.to(by_type.device))
        return losses

    def build_prompts(self, plan: EpochPlan, rows: slice) -> PromptBatch:
        """Return the prompts of some windows: a retrieval branch per target, and one alignment question a window."""
        requests = []
        for window in range(rows.start, min(rows.stop, len(plan))):
            start, end = int(plan.starts[window]), int(plan.ends[window])
            targets = plan.targets[plan.target_offsets[window] : plan.target_offsets[window + 1]]
            question = None
            if self.settings.alignment_weight:
                question = self._choose_question(int(self.sequences.values[end]), float(plan.template_draws[window]))
            requests.append(Request(self.sequences.values[start:end], (targets - start).tolist(), question))
        return build_training_batch(self.recommender.prompt, requests)

    def _choose_question(self, target: int, draw: float) -> tuple[int, int] | None:
        templates = self._answerable[target]
        return (int(templates[int(draw * len(templates))]), target) if len(templates) else None

    def _plan(self, epoch: int) -> EpochPlan:
        return plan_epoch(
            self.sequences,
            n_items=self.recommender.n_items,
            n_types=len(self.recommender.parts.heads.kinds),
            history_limit=self.recommender.history_limit,
            window=self.settings.window,
            supervision=self.settings.supervision,
            negative_rule=self.settings.negative_rule,
            seed=self.settings.seed,
            epoch=epoch,
        )

    def _learning_rate(self, step: int) -> float:
        settings = self.settings
        warmup = round(settings.warmup_share * self.total_steps)
        if step < warmup:
            return settings.learning_rate * (step + 1) / warmup
        if settings.schedule == "constant":
            return settings.learning_rate
        return settings.learning_rate * (self.total_steps - step) / max(1, self.total_steps - warmup)

    def _record(self, losses: dict[str, float]) -> None:
        self.progress.curve.append({"step": self.progress.step} | losses)
        self._journal.log(self.progress.step, losses)

    def _run_validation(self) -> None:
        score = self._validate(self.recommender)
        self.progress.curve.append({"step": self.progress.step, "validation": score})
        self._journal.log(self.progress.step, {"validation": score})
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.bad_validations = 0
            self.best = {name: value.detach().clone() for name, value in self.recommender.parts.state_dict().items()}
        else:
            self.progress.bad_validations += 1

    def save(self) -> None:
        """Publish a checkpoint of the state as it stands."""
        tensors = {f"model/{name}": value for name, value in self.recommender.parts.state_dict().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= pack_optimizer(self._optimizer, self._names)
        save_checkpoint(self._checkpoints, self.progress.step, Checkpoint(tensors, self.progress.to_json()))
