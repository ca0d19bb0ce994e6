"""What a batch of windows is trained on: its prompts, and its losses in parts that add up to those of the whole.

A batch is read in passes of a bounded number of tokens. Every loss is a sum over targets or answer tokens divided by
their number in the whole batch, so gradients of the passes, and of several processes, add up to those of one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from illmrec.data.examples import EpochPlan
from illmrec.data.histories import Indices, Ragged
from illmrec.models.batch import Request, build_batch, measure_requests
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from illmrec.training.losses import RetrievalLoss, alignment_losses, catalog_cross_entropy, retrieval_losses

Stage = Literal["joint", "alignment", "retrieval"]
Sharing = Literal["target", "step"]

_SHORTER = 0.8
"""A case this much shorter than a pass's longest begins another pass."""

SUMMED = "retrieval"
"""Name of the retrieval loss where it is taken of the summed scores; else there is one per feature type."""


@dataclass(frozen=True)
class RetrievalSettings:
    """How retrieval is learned; the defaults are the paper's.

    Args:
        retrieval_loss: see :func:`illmrec.training.losses.retrieval_losses`.
        retrieval_scores: take the loss of the ``sum`` of the types' scores, or of ``each_type``'s by itself (paper).
        negatives: per target, or per step where they are shared.
        negative_sharing: ``target``: each target has negatives of its own; ``step``: all targets of a step share them.
        gbce_calibration: of ``gbce``.
    """

    retrieval_loss: RetrievalLoss = "bce"
    retrieval_scores: Literal["each_type", "sum"] = "each_type"
    negatives: int = 1
    negative_sharing: Sharing = "target"
    gbce_calibration: float = 0.75

    @property
    def summed(self) -> bool:
        """Whether one loss is taken, of the sum of the types' scores."""
        return self.retrieval_scores == "sum"

    @property
    def are_shared(self) -> bool:
        """Whether all targets of a step are compared with the same items."""
        return self.negative_sharing == "step" or self.retrieval_loss == "cross_entropy"

    @property
    def own_negatives(self) -> int:
        """Negatives that an epoch's plan draws for each target; one, which is not looked at, where they are shared."""
        return 1 if self.are_shared else self.negatives


@dataclass(frozen=True)
class _Case:
    """One window's request, and where its targets stand in the plan."""

    request: Request
    targets: range


@dataclass(frozen=True)
class Totals:
    """What losses are divided by: targets and answer tokens of the whole batch."""

    targets: int
    answer_tokens: int


class Objective:
    """Turns windows of a plan into losses.

    Args:
        recommender: the model.
        sequences: training sequences, oldest first.
        retrieval: how retrieval is learned.
        seed: of the negatives that a step's targets share.
    """

    def __init__(self, recommender: Recommender, sequences: Ragged, retrieval: RetrievalSettings, seed: int) -> None:
        self.recommender = recommender
        self.sequences = sequences
        self.retrieval = retrieval
        self._seed = seed
        self._catalog: Tensor | None = None
        prompt = recommender.prompt
        self._can_hide = prompt.can_hide[sequences.values]
        self._answerable = [np.asarray(prompt.answerable_templates(item)) for item in range(recommender.n_items)]

    def write_cases(self, plan: EpochPlan, windows: Sequence[int], stage: Stage, *, ask: bool = True) -> list[_Case]:
        """Return what to ask about each window: a retrieval branch per target, and one alignment question.

        Args:
            plan: an epoch's windows.
            windows: numbers of some of them.
            stage: which of the two is asked; windows without anything to ask are left out.
            ask: whether alignment is asked at all.
        """
        cases = []
        for window in windows:
            start, end = int(plan.starts[window]), int(plan.ends[window])
            asked = int(plan.alignment_targets[window])
            targets = range(int(plan.target_offsets[window]), int(plan.target_offsets[window + 1]))
            question = None
            if ask and stage != "retrieval":
                question = self._choose_question(int(self.sequences.values[asked]), float(plan.template_draws[window]))
            if stage == "alignment":
                targets = range(0)
            if not targets and question is None:
                continue
            depths = (plan.targets[targets.start : targets.stop] - start).tolist()
            hidden = None if plan.hidden is None else plan.hidden[start:end] & self._can_hide[start:end]
            request = Request(self.sequences.values[start:end], depths, question, hidden, asked - start)
            cases.append(_Case(request if targets else request.cut(), targets))
        return cases

    def count(self, cases: Sequence[_Case]) -> Totals:
        """Return what the losses of these cases are divided by."""
        prompt = self.recommender.prompt
        asked = [case.request.question for case in cases if case.request.question is not None]
        tokens = sum(prompt.measure_answer(*question) for question in asked)
        return Totals(sum(len(case.targets) for case in cases), tokens)

    def split_passes(self, cases: Sequence[_Case], token_limit: int) -> Iterator[list[_Case]]:
        """Yield groups of cases of similar length with at most ``token_limit`` tokens each; single cases may have more.

        A group that keeps the device busy also ends where shorter cases follow, which would be padded.

        Args:
            cases: of one batch.
            token_limit: 0 for no limit.
        """
        if not token_limit:
            if cases:
                yield list(cases)
            return
        head, busy = not self.recommender.shares_prefix, self.recommender.backbone.busy_tokens
        sizes = measure_requests(self.recommender.prompt, [case.request for case in cases], with_head=head)
        group: list[_Case] = []
        taken = longest = 0
        for number in np.argsort(-sizes, kind="stable").tolist():
            size = int(sizes[number])
            shorter = taken >= min(busy, token_limit) and size < _SHORTER * longest
            if group and (taken + size > token_limit or shorter):
                yield group
                group, taken = [], 0
            if not group:
                longest = size
            group.append(cases[number])
            taken += size
        if group:
            yield group

    def measure(
        self, plan: EpochPlan, windows: Sequence[int], stage: Stage = "joint", *, ask: bool = True
    ) -> npt.NDArray[np.int64]:
        """Return ``int64 [n]``: prompt tokens of each of some windows, what all of them share left out.

        Windows that a stage has nothing to ask about have no entry.
        """
        cases = self.write_cases(plan, windows, stage, ask=ask)
        head = not self.recommender.shares_prefix
        return measure_requests(self.recommender.prompt, [case.request for case in cases], with_head=head)

    @contextlib.contextmanager
    def holding_catalog(self, stage: Stage) -> Iterator[None]:
        """Project the catalog once for all passes of a step, where the loss compares with all of it.

        Each pass adds to the gradients of the projected items; at the end these go back through the heads, once.
        """
        if self.retrieval.retrieval_loss != "cross_entropy" or stage == "alignment":
            yield
            return
        projected = self._project_catalog()
        self._catalog = projected.detach().requires_grad_(projected.requires_grad)
        try:
            yield
            if self._catalog.grad is not None:
                projected.backward(self._catalog.grad)
        finally:
            self._catalog = None

    def _project_catalog(self) -> Tensor:
        model = self.recommender
        return model.parts.heads.project_items(model.item_features(np.arange(model.n_items)))

    def compute(self, plan: EpochPlan, cases: Sequence[_Case], totals: Totals, step: int) -> dict[str, Tensor]:
        """Return this pass's part of the batch's losses: one per feature type (or one summed), and ``alignment``."""
        model = self.recommender
        requests = [case.request for case in cases]
        batch = build_batch(model.prompt, requests, with_head=not model.shares_prefix, width=model.backbone.width)
        encoded = model.encode(batch)
        losses: dict[str, Tensor] = {}
        asked = np.array([target for case in cases for target in case.targets], dtype=np.int32)
        if len(asked):
            by_type = self._compare(plan, asked, model.parts.heads.project_users(encoded.users), step)
            names = [SUMMED] if self.retrieval.summed else model.parts.heads.kinds
            losses = dict(zip(names, (by_type / totals.targets).unbind(), strict=True))
        if encoded.answer_logits is not None:
            terms = alignment_losses(encoded.answer_logits, batch.answer_tokens.to(encoded.answer_logits.device))
            losses["alignment"] = terms.sum() / totals.answer_tokens
        return losses

    def _compare(self, plan: EpochPlan, asked: Indices, users: Tensor, step: int) -> Tensor:
        """Return ``float32 [F]``: the targets' retrieval losses added up; F is 1 for summed scores."""
        model, settings = self.recommender, self.retrieval
        heads = model.parts.heads
        targets = self.sequences.values[plan.targets[asked]]
        if settings.retrieval_loss == "cross_entropy":
            return self._compare_with_catalog(users, targets)
        positives = model.project_items_by_type(np.repeat(targets[:, None], len(heads.kinds), axis=1))
        ignored = None
        if not settings.are_shared:
            drawn = plan.negatives[asked]
            projected = model.project_items_by_type(drawn.reshape(-1, len(heads.kinds))).unflatten(0, drawn.shape[:2])
            negative = self._score(users[:, None], projected)
        else:
            shared = self._draw_shared(step)
            items = heads.project_items(model.item_features(shared))
            # One matrix product for summed scores: the types' scores need not be told apart.
            negative = (users @ items.T)[:, :, None] if settings.summed else heads.split_all_scores(users, items)
            ignored = torch.from_numpy(targets[:, None] == shared[None, :]).to(negative.device)
        positive = self._score(users, positives)
        losses = retrieval_losses(
            positive,
            negative,
            kind=settings.retrieval_loss,
            ignored=ignored,
            n_items=model.n_items,
            calibration=settings.gbce_calibration,
        )
        return losses.sum(0)

    def _compare_with_catalog(self, users: Tensor, targets: Indices) -> Tensor:
        """Return ``float32 [F]``: the targets' cross entropies among all items, added up."""
        heads = self.recommender.parts.heads
        items = self._project_catalog() if self._catalog is None else self._catalog
        width = users.shape[1] if self.retrieval.summed else heads.shared_width
        wanted = torch.from_numpy(targets.astype(np.int64)).to(users.device)
        pairs = zip(users.split(width, dim=1), items.split(width, dim=1), strict=True)
        return len(targets) * torch.stack([catalog_cross_entropy(ours, theirs, wanted) for ours, theirs in pairs])

    def _score(self, users: Tensor, items: Tensor) -> Tensor:
        """Return ``float32 [..., F]``: the scores of users and items by type, or ``[..., 1]`` summed."""
        if self.retrieval.summed:
            return (users * items).sum(-1, keepdim=True)
        return self.recommender.parts.heads.split_scores(users, items)

    def _draw_shared(self, step: int) -> Indices:
        """Return the items that all targets of a step are compared with."""
        count = self.recommender.n_items
        if self.retrieval.negatives >= count:
            return np.arange(count, dtype=np.int32)
        rng = generator(self._seed, "shared negatives", step)
        return np.sort(rng.choice(count, self.retrieval.negatives, replace=False)).astype(np.int32)

    def _choose_question(self, target: int, draw: float) -> tuple[int, int] | None:
        found = self._answerable[target]
        return (int(found[int(draw * len(found))]), target) if len(found) else None
