"""Equal seeds give equal bits, and a resumed run ends where an uninterrupted one does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from benchmarks.tiny import build_recommender, make_sequences
from illmrec.errors import ModelError
from illmrec.models.backbone import Backbone
from illmrec.models.recommender import Recommender
from illmrec.training import loop
from illmrec.training.loop import LoopSettings, Trainer

SETTINGS = LoopSettings(
    window="random",
    supervision="last",
    negative_rule="unseen_shared",
    alignment_weight=1.0,
    retrieval_weight=1.0,
    learning_rate=1e-2,
    weight_decay=0.01,
    warmup_share=0.2,
    schedule="linear",
    batch_size=4,
    epochs=3,
    validate_every=1,
    patience=5,
    checkpoint_steps=2,
    seed=0,
)


class StopError(Exception):
    """Stands for whatever ends a process."""


class Journal:
    def __init__(self, stop_at: int | None = None) -> None:
        self.lines: list[tuple[int, dict[str, float]]] = []
        self._stop_at = stop_at

    def log(self, step: int, values: dict[str, float]) -> None:
        if step == self._stop_at:
            raise StopError
        self.lines.append((step, values))


def validate(recommender: Recommender) -> float:
    """Any figure that depends on the parameters."""
    vectors = recommender.project_users(recommender.represent_users([np.array([3, 5, 8])], 1))
    return float(vectors[0] @ recommender.represent_items()[7])


class Bench:
    """Makes equal trainers over one catalog."""

    def __init__(self, backbone: Backbone, items: pl.DataFrame) -> None:
        self._backbone, self._items = backbone, items
        self.sequences = make_sequences(14, 20, (1, 9), seed=3)

    def trainer(
        self, folder: Path, settings: LoopSettings = SETTINGS, journal: Journal | None = None, seed: int = 0
    ) -> Trainer:
        recommender = build_recommender(self._backbone, self._items, seed=seed)
        return Trainer(
            recommender,
            self.sequences,
            settings,
            validate=validate,
            checkpoints=folder,
            journal=journal or Journal(),
        )


@pytest.fixture(scope="module")
def bench(tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> Bench:
    return Bench(tiny_backbone, tiny_items)


@pytest.fixture(scope="module")
def whole(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    trainer = bench.trainer(tmp_path_factory.mktemp("whole"))
    trainer.run()
    return trainer


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_training_lowers_the_loss_and_changes_every_part(whole: Trainer, bench: Bench, tmp_path: Path) -> None:
    losses = [entry["loss"] for entry in whole.progress.curve if "loss" in entry]
    assert len(losses) == whole.total_steps
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    before = bench.trainer(tmp_path).recommender.state()
    after = whole.recommender.state()
    assert not any(torch.equal(before[name], after[name]) for name in before)


def test_a_checkpoint_holds_so_many_steps_of_the_curve_and_tracking_all(
    whole: Trainer, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CURVE_STEPS", whole.total_steps // 3)
    journal = Journal()
    trainer = bench.trainer(tmp_path, journal=journal)
    trainer.run()
    kept = [entry for entry in trainer.progress.curve if "loss" in entry]
    assert kept == [entry for entry in whole.progress.curve if "loss" in entry][2::3]
    validated = [entry for entry in trainer.progress.curve if "validation" in entry]
    assert validated == [entry for entry in whole.progress.curve if "validation" in entry]
    assert sorted({step for step, values in journal.lines if "loss" in values}) == list(range(1, whole.total_steps + 1))


def test_equal_seeds_give_equal_bits(whole: Trainer, bench: Bench, tmp_path: Path) -> None:
    again = bench.trainer(tmp_path / "again")
    again.run()
    assert again.progress.curve == whole.progress.curve
    assert_equal(again.best, whole.best)


def test_another_seed_gives_another_run(whole: Trainer, bench: Bench, tmp_path: Path) -> None:
    other = bench.trainer(tmp_path / "other", replace(SETTINGS, seed=1, epochs=1))
    other.run()
    assert other.progress.curve[0] != whole.progress.curve[0]


def test_the_language_model_stays_as_it_was(whole: Trainer, bench: Bench, tiny_model_folder: Path) -> None:
    fresh = Backbone(tiny_model_folder)
    tokens = torch.arange(3, 60)[None]
    ours = whole.recommender.backbone
    positions = torch.arange(tokens.shape[1])[None]
    assert torch.equal(ours.embed(tokens), fresh.embed(tokens))
    mask = torch.ones(1, 1, tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
    assert torch.equal(ours.run(ours.embed(tokens), positions, mask), fresh.run(fresh.embed(tokens), positions, mask))
    assert all(not parameter.requires_grad for parameter in ours._model.parameters())


# 4 steps an epoch and a checkpoint every 2 steps and at every end of an epoch: before, at and after each of them.
@pytest.mark.parametrize("stop_at", [1, 2, 3, 4, 5, 8, 9, 11, 12])
def test_a_resumed_run_equals_an_uninterrupted_one(stop_at: int, whole: Trainer, bench: Bench, tmp_path: Path) -> None:
    stopped = bench.trainer(tmp_path, journal=Journal(stop_at))
    with pytest.raises(StopError):
        stopped.run()
    # Another first state, so that whatever is not restored shows.
    resumed = bench.trainer(tmp_path, seed=77 if stop_at > 2 else 0)
    assert resumed.resume() == (stop_at > 2)
    assert resumed.progress.step == (stop_at - 1) // 2 * 2
    resumed.run()
    assert resumed.progress.curve == whole.progress.curve
    assert_equal(resumed.best, whole.best)
    assert_equal(dict(resumed.recommender.state()), dict(whole.recommender.state()))
    assert resumed.progress.best_step == whole.progress.best_step


def test_a_finished_run_is_not_trained_again(whole: Trainer, bench: Bench) -> None:
    journal = Journal()
    again = bench.trainer(whole._checkpoints, journal=journal, seed=77)
    assert again.resume()
    assert_equal(again.run(), whole.best)
    assert journal.lines == []


def test_a_damaged_checkpoint_is_named_and_the_older_one_continued(
    whole: Trainer, bench: Bench, tmp_path: Path
) -> None:
    stopped = bench.trainer(tmp_path, journal=Journal(7))
    with pytest.raises(StopError):
        stopped.run()
    newest = max(tmp_path.glob("step-*")) / "tensors.safetensors"
    newest.write_bytes(b"?" + newest.read_bytes()[1:])
    resumed = bench.trainer(tmp_path, seed=77)
    assert resumed.resume()
    assert resumed.progress.step == 4
    assert "step-00000006" in resumed.warnings[0]
    resumed.run()
    assert resumed.progress.curve == whole.progress.curve
    assert_equal(resumed.best, whole.best)


def test_the_best_state_is_returned_not_the_last(bench: Bench, tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.2])
    states: list[dict[str, Tensor]] = []

    def score(recommender: Recommender) -> float:
        states.append({name: value.clone() for name, value in recommender.state().items()})
        return next(scores)

    trainer = bench.trainer(tmp_path)
    trainer._validate = score
    assert_equal(trainer.run(), states[1])
    assert_equal(dict(trainer.recommender.state()), states[1])
    assert trainer.progress.best_step == 2 * trainer.steps_per_epoch
    assert trainer.progress.best_score == 0.5


def test_patience_ends_the_run(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, epochs=50, patience=2)
    trainer = bench.trainer(tmp_path, settings)
    trainer._validate = lambda _: 0.0
    trainer.run()
    assert trainer.progress.step == 3 * trainer.steps_per_epoch
    assert trainer.progress.best_step == trainer.steps_per_epoch


def test_learning_rates_rise_then_fall(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, replace(SETTINGS, warmup_share=0.25, epochs=2, learning_rate=0.8))
    assert trainer.total_steps == 2 * trainer.steps_per_epoch
    rates = [trainer._learning_rate(step) for step in range(trainer.total_steps)]
    warmup = round(0.25 * trainer.total_steps)
    assert rates[: warmup + 1] == pytest.approx([0.8 * (step + 1) / warmup for step in range(warmup)] + [0.8])
    assert rates[-1] == pytest.approx(0.8 / (trainer.total_steps - warmup))
    constant = bench.trainer(tmp_path, replace(SETTINGS, warmup_share=0.0, schedule="constant"))
    assert {constant._learning_rate(step) for step in range(12)} == {SETTINGS.learning_rate}


def test_weights_of_the_losses_are_applied(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, replace(SETTINGS, retrieval_weight=0.5, alignment_weight=3.0))
    values = trainer._step(trainer.plan(0), slice(0, 4))
    expected = 0.5 * (values["image"] + values["cf"] + values["text"]) + 3.0 * values["alignment"]
    assert values["loss"] == pytest.approx(expected, rel=1e-6)


def test_without_alignment_no_question_is_asked(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, replace(SETTINGS, alignment_weight=0.0))
    plan = trainer.plan(0)
    cases = trainer.objective.write_cases(plan, range(4), "joint", ask=False)
    assert trainer.objective.count(cases).answer_tokens == 0
    assert set(trainer.compute_losses(plan, slice(0, 4))) == {"image", "cf", "text"}


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_users(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path)
    with torch.no_grad():
        trainer.recommender.parts.rec[0] = float("nan")
    with pytest.raises(ModelError, match="step 0 is not finite") as caught:
        trainer.run()
    users = trainer.plan(0).users[:4].tolist()
    assert str(users) in str(caught.value)
    assert "learning_rate" in caught.value.hint


def test_users_too_short_to_train_on_are_refused(bench: Bench, tmp_path: Path) -> None:
    short = Bench(bench._backbone, bench._items)
    short.sequences = make_sequences(3, 20, (0, 1))
    with pytest.raises(ModelError, match="no user has two"):
        short.trainer(tmp_path)
