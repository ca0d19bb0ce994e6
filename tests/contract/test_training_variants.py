"""Each variant of training changes what it is meant to change, and nothing else; each repeats and resumes exactly."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from benchmarks.tiny import FORM, build_recommender, make_sequences
from illmrec.errors import InterruptedRunError, ModelError
from illmrec.models.backbone import Backbone, Lora
from illmrec.models.recommender import Recommender
from illmrec.training import checkpoint
from illmrec.training.cost import measure_saved_bytes
from illmrec.training.loop import LoopSettings, Trainer
from illmrec.training.objective import RetrievalSettings
from tests.contract.test_training_repeats import SETTINGS, Journal, StopError, validate

LORA = Lora(rank=4, alpha=8, dropout=0.2, modules=("q_proj", "v_proj"))
ADAPTERS = 3 * 2 * 2
"""Tensors of adapters: two matrices in two modules of three layers."""


class Bench:
    """Makes equal trainers with any variant of model and loop."""

    def __init__(self, folder: Path, items: pl.DataFrame) -> None:
        self.folder, self.items = folder, items
        self.sequences = make_sequences(14, 20, (1, 9), seed=3)

    def recommender(self, seed: int = 0, *, backbone: dict[str, Any] | None = None, **options: Any) -> Recommender:
        torch.manual_seed(seed)
        prepare = options.pop("prepare", {})
        model = build_recommender(Backbone(self.folder, **(backbone or {})), self.items, seed=seed, **options)
        model.prepare_training(**prepare)
        return model

    def trainer(self, folder: Path, settings: LoopSettings, *, stop_at: int | None = None, **options: Any) -> Trainer:
        loop = {name: options.pop(name) for name in ("should_stop",) if name in options}
        return Trainer(
            self.recommender(**options),
            self.sequences,
            settings,
            validate=validate,
            checkpoints=folder,
            journal=Journal(stop_at),
            **loop,
        )


@pytest.fixture(scope="module")
def bench(tiny_model_folder: Path, tiny_items: pl.DataFrame) -> Bench:
    return Bench(tiny_model_folder, tiny_items)


def list_changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def read_losses(trainer: Trainer, name: str = "loss") -> list[float]:
    return [entry[name] for entry in trainer.progress.curve if name in entry]


RETRIEVAL = {
    "more negatives": RetrievalSettings(negatives=5),
    "gbce": RetrievalSettings(retrieval_loss="gbce", negatives=5),
    "softmax": RetrievalSettings(retrieval_loss="softmax", negatives=5),
    "shared": RetrievalSettings(retrieval_loss="softmax", negatives=12, negative_sharing="step"),
    "shared gbce": RetrievalSettings(retrieval_loss="gbce", negatives=12, negative_sharing="step"),
    "catalog": RetrievalSettings(retrieval_loss="cross_entropy"),
    "summed": RetrievalSettings(retrieval_loss="cross_entropy", retrieval_scores="sum"),
    "summed bce": RetrievalSettings(retrieval_scores="sum"),
}


@pytest.mark.parametrize("name", RETRIEVAL)
def test_every_retrieval_loss_is_lowered_by_training(name: str, bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, replace(SETTINGS, retrieval=RETRIEVAL[name], warmup_share=0.0))
    plan = trainer.plan(0)
    found = [trainer._step(plan, slice(0, 8)) for _ in range(12)]
    kinds = {"retrieval"} if RETRIEVAL[name].summed else {"image", "cf", "text"}
    assert set(found[0]) == {"loss", "alignment"} | kinds
    for kind in kinds:
        assert found[-1][kind] < found[0][kind]


@pytest.mark.parametrize("summed", [False, True])
def test_the_loss_over_the_catalog_is_that_of_the_ranking(summed: bool, bench: Bench, tmp_path: Path) -> None:
    settings = replace(
        SETTINGS,
        retrieval=RetrievalSettings(retrieval_loss="cross_entropy", retrieval_scores="sum" if summed else "each_type"),
        alignment_weight=0.0,
    )
    trainer = bench.trainer(tmp_path, settings, type_weights="learned")
    model = trainer.recommender
    with torch.no_grad():
        model.parts.heads.log_weights.copy_(torch.tensor([0.3, -0.2, 0.5]))
    plan = trainer.plan(0)
    rows = [bench.sequences.values[start:end] for start, end in zip(plan.starts, plan.ends, strict=True)]
    users, items = model.project_users(model.represent_users(rows, 4)), model.represent_items()
    parts = [slice(0, 36)] if summed else [slice(first, first + 12) for first in (0, 12, 24)]
    targets = bench.sequences.values[plan.targets]
    expected = []
    for part in parts:
        scores = torch.from_numpy(users[:, part] @ items[:, part].T)
        expected.append(float(torch.nn.functional.cross_entropy(scores, torch.from_numpy(targets).long())))
    losses = trainer.compute_losses(plan, slice(0, len(plan)))
    assert [float(value.detach()) for value in losses.values()] == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("summed", [False, True])
def test_the_catalog_is_projected_once_for_all_passes_of_a_step(
    summed: bool, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrieval = RetrievalSettings(retrieval_loss="cross_entropy", retrieval_scores="sum" if summed else "each_type")
    trainer = bench.trainer(tmp_path, replace(SETTINGS, retrieval=retrieval, pass_tokens=60), type_weights="learned")
    model, plan = trainer.recommender, trainer.plan(0)
    trainer._weigh(trainer.compute_losses(plan, slice(0, 8))).backward()
    whole = {name: value.grad.clone() for name, value in model.named_parameters().items() if value.grad is not None}
    project, calls = model.parts.heads.project_items, []
    monkeypatch.setattr(model.parts.heads, "project_items", lambda rows: calls.append(1) or project(rows))
    trainer.compute_gradients(plan, slice(0, 8))
    assert len(calls) == 1
    assert any(name.startswith("heads.item") for name in whole)
    for name, gradient in whole.items():
        torch.testing.assert_close(model.named_parameters()[name].grad, gradient, rtol=1e-4, atol=1e-6)


def test_shared_negatives_are_drawn_anew_each_step_and_never_count_as_the_target(bench: Bench, tmp_path: Path) -> None:
    shared = RetrievalSettings(retrieval_loss="softmax", negatives=6, negative_sharing="step")
    objective = bench.trainer(tmp_path, replace(SETTINGS, retrieval=shared)).objective
    drawn = [objective._draw_shared(step) for step in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert len(set(drawn[0].tolist())) == 6
    everything = replace(shared, negatives=500)
    objective = bench.trainer(tmp_path, replace(SETTINGS, retrieval=everything)).objective
    assert objective._draw_shared(0).tolist() == list(range(20))
    plan = bench.trainer(tmp_path, SETTINGS).plan(0)
    whole = bench.trainer(tmp_path, replace(SETTINGS, retrieval=RetrievalSettings(retrieval_loss="cross_entropy")))
    ours = bench.trainer(tmp_path, replace(SETTINGS, retrieval=everything)).compute_losses(plan, slice(0, 6))
    theirs = whole.compute_losses(plan, slice(0, 6))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-6, atol=0.0)


def test_a_single_negative_can_be_shared_too(bench: Bench, tmp_path: Path) -> None:
    shared = RetrievalSettings(negative_sharing="step")
    trainer = bench.trainer(tmp_path, replace(SETTINGS, retrieval=shared, alignment_weight=0.0))
    plan = trainer.plan(0)
    other = replace(plan, negatives=(plan.negatives + 1) % 20)
    ours, theirs = (trainer.compute_losses(drawn, slice(0, 6)) for drawn in (plan, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours), "the plan's own negatives are not looked at"


def test_adapters_are_all_that_is_trained_inside_the_language_model(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, SETTINGS, backbone={"lora": LORA})
    model = trainer.recommender
    adapters = {name for name in model.named_parameters() if name.startswith("backbone.")}
    assert len(adapters) == ADAPTERS
    base = {name: value.clone() for name, value in model.backbone._model.named_parameters() if "lora_" not in name}
    before = model.state()
    trainer.run()
    assert adapters <= list_changed(before, model.state())
    after = dict(model.backbone._model.named_parameters())
    assert all(torch.equal(value, after[name]) for name, value in base.items())


def test_adapters_begin_as_nothing_and_are_saved_with_the_model(bench: Bench, tmp_path: Path) -> None:
    histories = [np.array([3, 5, 8]), np.array([2, 7])]
    plain = bench.recommender().represent_users(histories, 2)
    trainer = bench.trainer(tmp_path, SETTINGS, backbone={"lora": LORA})
    assert np.abs(trainer.recommender.represent_users(histories, 2) - plain).max() < 1e-6
    state = trainer.run()
    trained = trainer.recommender.represent_users(histories, 2)
    assert np.abs(trained - plain).max() > 1e-3
    other = bench.recommender(seed=99, backbone={"lora": LORA})
    other.load_state(state)
    assert np.array_equal(other.represent_users(histories, 2), trained)


def test_gradients_reach_adapters_through_the_shared_beginning_too(bench: Bench, tmp_path: Path) -> None:
    """With and without a prefix that is read apart, adapters and tokens get the same gradients."""
    found = []
    for shares in (True, False):
        backbone = {"lora": replace(LORA, dropout=0.0), "word_embeddings": "trained"}
        trainer = bench.trainer(tmp_path, SETTINGS, backbone=backbone)
        model = trainer.recommender
        with torch.no_grad():  # adapters begin with a zero factor, which would hide half of the gradients
            for name, value in model.backbone.trained.items():
                if name.endswith("lora_B.weight"):
                    value.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
        model.shares_prefix = shares
        losses = trainer.compute_losses(trainer.plan(0), slice(0, 6))
        torch.stack(list(losses.values())).sum().backward()
        found.append({name: value.grad.clone() for name, value in model.named_parameters().items()})
    for name, value in found[0].items():
        assert float((found[1][name] - value).norm()) <= 2e-5 * float(value.norm()), name


def test_trained_tokens_are_those_of_the_input_alone(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, SETTINGS, backbone={"word_embeddings": "trained"})
    backbone = trainer.recommender.backbone
    table, output = backbone._table.weight.clone(), backbone._unembed.weight.clone()
    tokens = torch.arange(3, 30)[None]
    before = backbone.embed(tokens)
    assert torch.equal(before, backbone._table(tokens))
    trainer.run()
    assert not torch.equal(backbone.embed(tokens), before)
    assert torch.equal(backbone._table.weight, table)
    assert torch.equal(backbone._unembed.weight, output)


def test_two_stages_train_the_adaptor_first_and_then_everything_else(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, alignment_epochs=2, epochs=2, patience=9)
    trainer = bench.trainer(tmp_path, settings)
    start = trainer.recommender.state()
    adaptor = {name for name in start if name.startswith("adaptor.")}
    for epoch in (0, 1):
        trainer._run_epoch(epoch)
    aligned = trainer.recommender.state()
    assert list_changed(start, aligned) == adaptor
    assert set(trainer.progress.curve[-1]) == {"step", "loss", "alignment"}
    assert not read_losses(trainer, "validation"), "alignment alone says nothing about ranking"
    trainer.run()
    assert list_changed(aligned, trainer.recommender.state()) == set(start) - adaptor
    assert {"image", "cf", "text"} <= set(trainer.progress.curve[-2])
    assert "alignment" not in trainer.progress.curve[-2]
    assert trainer.progress.step == 4 * trainer.steps_per_epoch == trainer.total_steps


def test_passes_change_the_memory_and_not_the_result(bench: Bench, tmp_path: Path) -> None:
    whole = bench.trainer(tmp_path / "whole", replace(SETTINGS, epochs=1))
    parts = bench.trainer(tmp_path / "parts", replace(SETTINGS, epochs=1, pass_tokens=60))
    whole.run()
    parts.run()
    assert read_losses(parts) == pytest.approx(read_losses(whole), abs=1e-5)


@pytest.mark.parametrize("trained", ["parts", "adapters", "words"])
def test_recomputed_activations_give_the_same_gradients(bench: Bench, tmp_path: Path, trained: str) -> None:
    backbone: dict[str, Any] = {"word_embeddings": "trained" if trained == "words" else "frozen"}
    if trained == "adapters":
        backbone["lora"] = replace(LORA, dropout=0.0)
    found = []
    for again in (False, True):
        trainer = bench.trainer(tmp_path, SETTINGS, backbone=backbone | {"checkpointing": again})
        assert trainer.recommender.shares_prefix
        losses = trainer.compute_losses(trainer.plan(0), slice(0, 6))
        torch.stack(list(losses.values())).sum().backward()
        found.append({name: value.grad for name, value in trainer.recommender.named_parameters().items()})
    assert all(value is not None for value in found[0].values())
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-7) for name in found[0])


def test_recomputing_keeps_less(bench: Bench, tmp_path: Path) -> None:
    kept = []
    for again in (False, True):
        trainer = bench.trainer(tmp_path, SETTINGS, backbone={"checkpointing": again})
        plan, weights = trainer.plan(0), trainer.recommender.backbone.weights()
        kept.append(measure_saved_bytes(lambda t=trainer, p=plan: t.compute_losses(p, slice(0, 6)), weights))
    assert kept[1] < 0.7 * kept[0]


def test_hidden_pictures_are_those_of_the_plan(bench: Bench, tmp_path: Path) -> None:
    trainer = bench.trainer(tmp_path, replace(SETTINGS, image_dropout=0.5))
    plan = trainer.plan(0)
    cases = trainer.objective.write_cases(plan, range(len(plan)), "joint")
    shown = [case.request.hidden for case in cases]
    expected = [plan.hidden[start:end] for start, end in zip(plan.starts, plan.ends, strict=True)]
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(shown, expected, strict=True))
    assert trainer.plan(1).hidden is not None
    assert bench.trainer(tmp_path, SETTINGS).plan(0).hidden is None


def test_a_token_budget_cuts_training_and_scoring_alike(bench: Bench, tmp_path: Path) -> None:
    whole = bench.recommender()
    budget = whole.prompt.constant_tokens + 60
    trainer = bench.trainer(tmp_path, replace(SETTINGS, window="last"), token_budget=budget)
    model = trainer.recommender
    plan = trainer.plan(0)
    lengths = model.prompt.items.lengths
    for user, start, end in zip(plan.users, plan.starts, plan.ends, strict=True):
        shown = bench.sequences.values[start:end]
        assert lengths[shown].sum() <= 60 or len(shown) == 1
        before = bench.sequences[int(user)][:-1]
        assert np.array_equal(model.cut_history(before), shown)
    long = np.array([4, 5, 6, 8, 9, 10, 11], dtype=np.int32)
    cut = model.cut_history(long)
    assert 0 < len(cut) < len(long)
    assert np.array_equal(model.represent_users([long], 1), whole.represent_users([cut], 1))


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "adapters with dropout": ({}, {"backbone": {"lora": LORA}}),
    "two stages": ({"alignment_epochs": 1, "epochs": 2}, {}),
    "hidden pictures and shared negatives": (
        {
            "image_dropout": 0.3,
            "retrieval": RetrievalSettings(retrieval_loss="gbce", negatives=4, negative_sharing="step"),
        },
        {},
    ),
    "passes": ({"pass_tokens": 60}, {}),
    "learned weights": ({}, {"type_weights": "learned", "form": replace(FORM, image_tokens=2)}),
    "centred features and dropout": ({}, {"prepare": {"centre_features": True, "dropout": 0.3}}),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("stop_at", [3, 7])
def test_every_variant_resumes_where_it_was(name: str, stop_at: int, bench: Bench, tmp_path: Path) -> None:
    changes, options = VARIANTS[name]
    settings = replace(SETTINGS, **changes)
    whole = bench.trainer(tmp_path / "whole", settings, **options)
    whole.run()
    stopped = bench.trainer(tmp_path / "stopped", settings, stop_at=stop_at, **options)
    with pytest.raises(StopError):
        stopped.run()
    resumed = bench.trainer(tmp_path / "stopped", settings, seed=77, **options)
    assert resumed.resume()
    resumed.run()
    assert resumed.progress.curve == whole.progress.curve
    assert not list_changed(whole.best, resumed.best)


def test_a_run_that_is_asked_to_stop_saves_its_state_and_says_so(bench: Bench, tmp_path: Path) -> None:
    settings = replace(SETTINGS, checkpoint_steps=100)
    whole = bench.trainer(tmp_path / "whole", settings)
    whole.run()
    answers = iter([False, False, True])
    stopped = bench.trainer(tmp_path / "stopped", settings, should_stop=lambda: next(answers))
    with pytest.raises(InterruptedRunError, match="after step 3") as caught:
        stopped.run()
    assert caught.value.exit_code == 143
    resumed = bench.trainer(tmp_path / "stopped", settings, seed=77)
    assert resumed.resume()
    assert resumed.progress.step == 3
    resumed.run()
    assert resumed.progress.curve == whole.progress.curve
    assert not list_changed(whole.best, resumed.best)


def test_a_full_disk_leaves_the_older_checkpoint(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = bench.trainer(tmp_path, SETTINGS)
    writes: list[Path] = []
    write = checkpoint.save_file

    def run_out(tensors: dict[str, Tensor], path: Path) -> None:
        writes.append(path)
        if len(writes) > 1:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", run_out)
    with pytest.raises(ModelError, match="No space left") as caught:
        trainer.run()
    assert "free" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    resumed = bench.trainer(tmp_path, SETTINGS, seed=77)
    assert resumed.resume()
    assert resumed.progress.step == 2


@pytest.mark.parametrize("fault", ["another name", "another shape"])
def test_a_state_of_another_model_is_refused(fault: str, bench: Bench) -> None:
    model = bench.recommender()
    state = model.state()
    if fault == "another name":
        state["backbone.tokens"] = torch.zeros(3)
    else:
        state["rec"] = torch.zeros(3)
    with pytest.raises(ModelError, match="backbone.tokens" if fault == "another name" else r"rec is \(3,\)"):
        model.load_state(state)


def test_adapters_for_layers_that_are_not_there_are_refused(bench: Bench) -> None:
    with pytest.raises(ModelError, match="adapters") as caught:
        Backbone(bench.folder, lora=replace(LORA, modules=("no_such_layer",)))
    assert "lora" in caught.value.hint
