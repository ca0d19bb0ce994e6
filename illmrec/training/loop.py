"""The training loop: epochs of planned examples, validation on ranking, checkpoints, exact resume.

Every random draw, adapters' dropout included, is a function of the seed and the epoch or step, so parameters, optimizer
moments and the step number are the whole state: a resumed run equals an uninterrupted one bit for bit on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from illmrec.data.examples import EpochPlan, NegativeRule, Supervision, Window, plan_epoch
from illmrec.data.histories import Ragged
from illmrec.errors import InterruptedRunError, ModelError
from illmrec.models.recommender import Recommender
from illmrec.progress import track
from illmrec.seeds import derive_seed
from illmrec.training.checkpoint import Checkpoint, load_latest, pack_optimizer, save_checkpoint, unpack_optimizer
from illmrec.training.objective import SUMMED, Objective, RetrievalSettings, Stage
from illmrec.training.peers import Alone, Peers


@dataclass(frozen=True)
class LoopSettings:
    """How to train; see :class:`pipelines.parameters.training.TrainConfig` for the meaning of each."""

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
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    alignment_epochs: int = 0
    """Epochs of alignment alone that come first, with only the adaptor learning; the epochs after them are retrieval
    alone, with the adaptor frozen (paper, E.10). 0: both at once."""
    image_dropout: float = 0.0
    pass_tokens: int = 0


CURVE_STEPS = 5000
"""Steps of the loss curve that a checkpoint holds, about. Tracking has every step."""


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
        peers: processes that train together; only the first one validates, logs and saves.
        should_stop: asked after every step; when it says so the state is saved and the run ends with an error.
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
        peers: Peers | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.recommender = recommender
        self.sequences = sequences
        self.settings = settings
        self.progress = Progress()
        self.best: dict[str, Tensor] = {}
        self.warnings: list[str] = []
        self._validate, self._checkpoints, self._journal = validate, checkpoints, journal
        self._stopping = False
        self._peers = peers or Alone()
        self._should_stop = should_stop
        self._trained = recommender.named_parameters()
        self._names = list(self._trained)
        self._optimizer = torch.optim.AdamW(
            self._trained.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.objective = Objective(recommender, sequences, settings.retrieval, settings.seed)
        self.steps_per_epoch = math.ceil(len(self.plan(0)) / settings.batch_size)
        if not self.steps_per_epoch:
            raise ModelError("no user has two training interactions.", hint="Lower prepare.user_core or add data.")

    @property
    def total_steps(self) -> int:
        """Steps of a run that does not stop early."""
        return self.total_epochs * self.steps_per_epoch

    @property
    def total_epochs(self) -> int:
        """Epochs of a run that does not stop early, those of alignment alone included."""
        return self.settings.alignment_epochs + self.settings.epochs

    def resume(self) -> bool:
        """Continue from the newest good checkpoint, if there is one; damaged ones go to ``warnings``."""
        checkpoint, self.warnings = load_latest(self._checkpoints)
        if checkpoint is None:
            return False
        named = dict(checkpoint.tensors)
        self.recommender.load_state({name: named[f"model/{name}"] for name in self._names})
        unpack_optimizer(self._optimizer, self._names, named)
        self.best = {name.removeprefix("best/"): tensor for name, tensor in named.items() if name.startswith("best/")}
        self.progress = Progress.from_json(dict(checkpoint.state))
        return True

    def run(self) -> dict[str, Tensor]:
        """Train to the end, load the best state seen on validation into the model, and return it.

        It is returned as a model takes it that is not prepared for training.
        """
        done = self.progress.step // self.steps_per_epoch
        for epoch in range(done, self.total_epochs):
            if self.progress.bad_validations >= self.settings.patience:
                break
            self._run_epoch(epoch)
        self._choose_trained("joint")
        self.recommender.load_state(self.best)
        return self.recommender.fold_state(self.best)

    def _run_epoch(self, epoch: int) -> None:
        plan, stage = self.plan(epoch), self.stage(epoch)
        self._choose_trained(stage)
        first = self.progress.step - epoch * self.steps_per_epoch
        label = f"epoch {epoch + 1}/{self.total_epochs}"
        for number in track(range(first, self.steps_per_epoch), label, unit="step"):
            rows = slice(number * self.settings.batch_size, (number + 1) * self.settings.batch_size)
            losses = self._step(plan, rows, stage)
            self.progress.step += 1
            self._record(losses)
            last = number + 1 == self.steps_per_epoch
            due = (epoch + 1) % self.settings.validate_every == 0 or epoch + 1 == self.total_epochs
            if last and due and stage != "alignment":
                self._run_validation()
            stopping = self._stopping
            if last or stopping or self.progress.step % self.settings.checkpoint_steps == 0:
                self.save()
            if stopping:
                hint = "Give the same command again: it goes on from here."
                raise InterruptedRunError(
                    f"stopped as asked after step {self.progress.step}, which is saved.", hint=hint
                )

    def stage(self, epoch: int) -> Stage:
        """Return what an epoch trains."""
        if not self.settings.alignment_epochs:
            return "joint"
        return "alignment" if epoch < self.settings.alignment_epochs else "retrieval"

    def _choose_trained(self, stage: Stage) -> None:
        """Let a stage change only what it is there for; what gets no gradient stays as it is."""
        for name, value in self._trained.items():
            aligning = name.startswith(("adaptor.", "backbone."))
            value.requires_grad_(stage == "joint" or (stage == "alignment") == aligning)

    def _step(self, plan: EpochPlan, rows: slice, stage: Stage = "joint") -> dict[str, float]:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self.progress.step)
        losses = self.compute_gradients(plan, rows, stage)
        if not math.isfinite(losses["loss"]):
            users = plan.users[rows].tolist()
            hint = "Lower train.learning_rate, or look at these users' items for broken features."
            raise ModelError(f"the loss at step {self.progress.step} is not finite; user_index {users}.", hint=hint)
        self._optimizer.step()
        return losses

    def compute_gradients(self, plan: EpochPlan, rows: slice, stage: Stage = "joint") -> dict[str, float]:
        """Set the gradients of a batch of windows, added up over passes and processes.

        Returns:
            The batch's losses, weighted together as ``loss`` and one by one.
        """
        self._optimizer.zero_grad(set_to_none=True)
        objective, rank = self.objective, self._peers.rank
        windows = range(rows.start, min(rows.stop, len(plan)))
        ask = self.settings.alignment_weight > 0
        cases = objective.write_cases(plan, windows, stage, ask=ask)
        totals = objective.count(cases)
        self._seed_dropout()
        found: dict[str, float] = dict.fromkeys(self._list_losses(stage), 0.0)
        shares = [cases[rank :: self._peers.size] for rank in range(self._peers.size)]
        passes = [list(objective.split_passes(share, self.settings.pass_tokens)) for share in shares]
        most = max(map(len, passes)) if self._peers.lockstep else len(passes[rank])
        with objective.holding_catalog(stage):
            for number in range(most):
                idle = number >= len(passes[rank])
                asked = cases[:1] if idle else passes[rank][number]
                losses = objective.compute(plan, asked, totals, self.progress.step)
                total = self._weigh(losses) * (0.0 if idle else 1.0)
                if total.requires_grad:
                    total.backward()
                if idle:  # it only kept step with the others
                    continue
                found["loss"] += float(total.detach())
                for name, value in losses.items():
                    found[name] += float(value.detach())
        return self._share(found)

    def _share(self, found: dict[str, float]) -> dict[str, float]:
        """Add up gradients, losses and wishes to stop over all processes."""
        self._stopping = self._should_stop()
        if self._peers.size == 1:
            return found
        trained = [value for value in self._trained.values() if value.requires_grad]
        for value in trained:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        figures = torch.tensor([*found.values(), float(self._stopping)], dtype=torch.float64)
        self._peers.add_up([value.grad for value in trained if value.grad is not None])
        self._peers.add_up([figures])
        self._stopping = bool(figures[-1])
        return dict(zip(found, figures[:-1].tolist(), strict=True))

    def _list_losses(self, stage: Stage) -> list[str]:
        kinds = [SUMMED] if self.settings.retrieval.summed else [*self.recommender.parts.heads.kinds]
        asked = ["alignment"] if self.settings.alignment_weight > 0 else []
        parts = {"joint": kinds + asked, "alignment": asked, "retrieval": kinds}
        return ["loss", *parts[stage]]

    def _seed_dropout(self) -> None:
        self.recommender.switch_training(on=True)
        if self.recommender.backbone.trained or self.recommender.parts.dropout.p:
            torch.manual_seed(derive_seed(self.settings.seed, "dropout", self.progress.step, self._peers.rank) % 2**63)

    def _weigh(self, losses: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of losses, or 0 of none."""
        settings, total = self.settings, torch.zeros(())
        for name, value in losses.items():
            total = total.to(value.device) + value * (
                settings.alignment_weight if name == "alignment" else settings.retrieval_weight
            )
        return total

    def compute_losses(self, plan: EpochPlan, rows: slice) -> dict[str, Tensor]:
        """Return the unweighted losses of some windows of a plan, in one pass."""
        windows = range(rows.start, min(rows.stop, len(plan)))
        cases = self.objective.write_cases(plan, windows, "joint", ask=self.settings.alignment_weight > 0)
        return self.objective.compute(plan, cases, self.objective.count(cases), self.progress.step)

    def plan(self, epoch: int) -> EpochPlan:
        """Return the windows of an epoch, a function of the seed and its number."""
        model = self.recommender
        return plan_epoch(
            self.sequences,
            n_items=model.n_items,
            n_types=len(model.parts.heads.kinds),
            history_limit=model.history_limit,
            window=self.settings.window,
            supervision=self.settings.supervision,
            negative_rule=self.settings.negative_rule,
            seed=self.settings.seed,
            epoch=epoch,
            n_negatives=self.settings.retrieval.own_negatives,
            hide_share=self.settings.image_dropout,
            item_tokens=model.prompt.items.lengths,
            token_room=model.token_room,
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
        # What a checkpoint holds is written again with each: it has so many steps of the curve and no more.
        if self.progress.step % max(1, self.total_steps // CURVE_STEPS) == 0:
            self.progress.curve.append({"step": self.progress.step} | losses)
        if self._peers.rank == 0:
            self._journal.log(self.progress.step, losses)

    def _run_validation(self) -> None:
        validates = self._peers.rank == 0 or self._peers.lockstep
        score = self._peers.tell(self._validate(self.recommender) if validates else 0.0)
        self.progress.curve.append({"step": self.progress.step, "validation": score})
        if self._peers.rank == 0:
            self._journal.log(self.progress.step, {"validation": score})
        if score > self.progress.best_score:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.bad_validations = 0
            self.best = self.recommender.state()
        else:
            self.progress.bad_validations += 1

    def save(self) -> None:
        """Publish a checkpoint of the state as it stands; of several processes the first one does."""
        if self._peers.rank:
            return
        tensors = {f"model/{name}": value for name, value in self.recommender.state().items()}
        tensors |= {f"best/{name}": value for name, value in self.best.items()}
        tensors |= pack_optimizer(self._optimizer, self._names)
        save_checkpoint(self._checkpoints, self.progress.step, Checkpoint(tensors, self.progress.to_json()))
