"""Features less their mean: the same as a model over features from which the mean was taken, published as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from benchmarks.tiny import FORM, build_recommender, make_features, make_sequences
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.adaptor import Preset
from illmrec.models.backbone import Backbone
from illmrec.models.recommender import Recommender
from illmrec.training.loop import Trainer
from illmrec.training.objective import RetrievalSettings
from pipelines.assembly.trainer import Start
from tests.contract.test_training_repeats import SETTINGS, Journal, validate

HISTORIES = [np.array([3, 1, 7], dtype=np.int32), np.array([5], dtype=np.int32), np.arange(8, dtype=np.int32)]
FORMS = {"image": FORM, "image+cf": replace(FORM, representation="image+cf")}
CATALOG = replace(SETTINGS, retrieval=RetrievalSettings(retrieval_loss="cross_entropy", retrieval_scores="sum"))


@pytest.fixture(params=FORMS)
def options(request: pytest.FixtureRequest, tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> dict[str, Any]:
    return {"backbone": tiny_backbone, "items": tiny_items, "form": FORMS[request.param]}


def shift(matrix: FeatureMatrix, by: float) -> FeatureMatrix:
    """Return features with much in common, as a convolutional network's."""
    return replace(matrix, values=matrix.values + np.float16(by))


def prepare(*, shifted: float = 2.0, centred: bool = True, **options: Any) -> Recommender:
    model = build_recommender(**options)
    model.features = {kind: shift(matrix, shifted) for kind, matrix in model.features.items()}
    model.prepare_training(centre_features=centred)
    return model


def read(model: Recommender) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return model.project_users(model.represent_users(HISTORIES, 2)), model.represent_items()


def make_trainer(model: Recommender, folder: Path) -> Trainer:
    sequences = make_sequences(14, 20, (1, 9), seed=3)
    return Trainer(model, sequences, CATALOG, validate=validate, checkpoints=folder, journal=Journal(None))


def test_the_mean_is_of_the_items_that_have_the_feature() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 1, (50, 4)).astype(np.float16)
    present = rng.random(50) < 0.7
    matrix = replace(make_features(present)["image"], values=values)
    expected = values[present].astype(np.float64).mean(0)
    for block in (1, 7, 100):
        np.testing.assert_allclose(matrix.mean(block), expected, rtol=1e-6)
    assert not replace(matrix, present=np.zeros(50, dtype=np.bool_)).mean().any()


@pytest.mark.parametrize("preset", ["paper", "authors"])
def test_a_centred_model_learns_as_one_over_centred_features_does(
    preset: Preset, options: dict[str, Any], tmp_path: Path
) -> None:
    centred = prepare(**options, preset=preset)
    plain = build_recommender(**options, preset=preset)
    plain.features = {
        kind: replace(matrix, values=(matrix.values.astype(np.float32) - matrix.mean()))
        for kind, matrix in centred.features.items()
    }
    gradients, curves = [], []
    for number, model in enumerate((centred, plain)):
        trainer = make_trainer(model, tmp_path / str(number))
        trainer.compute_gradients(trainer.plan(0), slice(0, 8))
        gradients.append({name: value.grad for name, value in model.named_parameters().items()})
        trainer.run()
        curves.append([entry["loss"] for entry in trainer.progress.curve if "loss" in entry])
    for name, found in gradients[0].items():
        torch.testing.assert_close(found, gradients[1][name], rtol=1e-3, atol=1e-5)
    assert len(curves[0]) > 5
    assert curves[0] == pytest.approx(curves[1], rel=2e-4)


def test_centring_changes_what_is_learned(options: dict[str, Any], tmp_path: Path) -> None:
    losses = []
    for number, centred in enumerate((True, False)):
        trainer = make_trainer(prepare(**options, centred=centred), tmp_path / str(number))
        losses.append(float(trainer.compute_losses(trainer.plan(0), slice(0, 8))["retrieval"].detach()))
    assert abs(losses[0] - losses[1]) > 1e-3


def test_the_published_model_gives_the_same_numbers_without_a_centre(options: dict[str, Any], tmp_path: Path) -> None:
    model = prepare(**options)
    tensors = make_trainer(model, tmp_path).run()
    published = build_recommender(**options, seed=5)
    published.features = model.features
    published.load_state(tensors)
    for ours, theirs in zip(read(model), read(published), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert tensors.keys() == model.state().keys()


def test_an_item_that_comes_later_changes_no_other(options: dict[str, Any], tmp_path: Path) -> None:
    """What is read afterwards has no mean to compute, so there is none that a new item could move."""
    model = prepare(**options)
    tensors = make_trainer(model, tmp_path).run()
    grown = build_recommender(**options)
    grown.load_state(tensors)
    grown.features = {kind: shift(matrix, 0.0) for kind, matrix in model.features.items()}
    grown.features["image"].values[-1] = 30.0
    np.testing.assert_array_equal(grown.represent_items()[:-1], model.represent_items()[:-1])


def test_a_warm_start_begins_with_the_very_model_it_was_given(options: dict[str, Any], tmp_path: Path) -> None:
    champion = prepare(**options)
    tensors = make_trainer(champion, tmp_path).run()
    # Since then the catalog has grown, so its mean is another one.
    challenger = prepare(**options, shifted=3.0, seed=9)
    challenger.features = champion.features
    facts = Start("1", "digest", tensors, ()).apply(challenger)
    assert facts["taken"] == len(tensors)
    assert facts["new"] == []
    for ours, theirs in zip(read(challenger), read(champion), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_a_layer_that_was_left_out_keeps_its_own_start(options: dict[str, Any], tmp_path: Path) -> None:
    tensors = make_trainer(prepare(**options), tmp_path).run()
    challenger = prepare(**options, seed=9)
    before = challenger.state()
    facts = Start("1", "digest", tensors, ("heads.item.cf.",)).apply(challenger)
    after = challenger.state()
    left_out = sorted(name for name in before if name.startswith("heads.item.cf."))
    assert facts["new"] == left_out
    assert all(torch.equal(before[name], after[name]) for name in left_out)
    assert not torch.equal(before["heads.item.image.0.bias"], after["heads.item.image.0.bias"])


def test_dropout_works_in_training_and_nowhere_else(options: dict[str, Any], tmp_path: Path) -> None:
    plain, noisy = build_recommender(**options), build_recommender(**options)
    noisy.prepare_training(dropout=0.3)
    for ours, theirs in zip(read(noisy), read(plain), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = []
    for number, model in enumerate((noisy, plain)):
        trainer = make_trainer(model, tmp_path / str(number))
        losses.append([trainer._step(trainer.plan(0), slice(0, 8))["loss"] for _ in range(2)])
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
    fresh = build_recommender(**options)
    fresh.load_state(noisy.state())
    for ours, theirs in zip(read(noisy), read(fresh), strict=True):
        np.testing.assert_array_equal(ours, theirs)
