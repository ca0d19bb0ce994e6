"""Packed prompt trees give the losses and gradients of separate prompts, each in a sequence of its own."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from benchmarks.reference import Reference, load_language_model
from benchmarks.tiny import FORM, build_recommender, make_sequences
from illmrec.data.examples import EpochPlan, plan_epoch
from illmrec.data.histories import Ragged, pack_rows
from illmrec.models.backbone import Backbone
from illmrec.models.batch import PromptBatch
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from illmrec.training.loop import LoopSettings, Trainer

HISTORY_LIMIT = 8
LOSS_TOLERANCE = 2e-6
GRADIENT_TOLERANCE = 2e-5

SETTINGS = LoopSettings(
    window="random",
    supervision="last",
    negative_rule="unseen_shared",
    alignment_weight=1.0,
    retrieval_weight=1.0,
    learning_rate=1e-3,
    weight_decay=0.0,
    warmup_share=0.0,
    schedule="constant",
    batch_size=64,
    epochs=1,
    validate_every=1,
    patience=1,
    checkpoint_steps=100,
    seed=0,
)

EVERY_ITEM = list(range(20))
BARE_PICTURED, BARE = 1, 2
"""Items that can answer no template, with and without a picture."""

ADVERSARIAL: dict[str, list[list[int]]] = {
    "shortest histories": [[4, 5], [6, 7], [8, 9], [4, 4]],
    "longest histories": [EVERY_ITEM[3:12], EVERY_ITEM[11:20], EVERY_ITEM[:9]],
    "shortest beside longest": [[0, 5], EVERY_ITEM[:9], [7, 7], EVERY_ITEM[9:18]],
    "one user": [[3, 8, 11, 5]],
    "one item over and over": [[6] * 9, [7] * 5, [12] * 6, [6] * 2],
    "pictures missing throughout": [[2, 7, 12, 17], [17, 12, 7, 12, 2], [7, 12]],
    "pictures and descriptions missing": [[2, 2, 2], [BARE, BARE_PICTURED, BARE]],
    "some targets answer nothing": [[4, 5, BARE], [5, 6, 8], [9, BARE_PICTURED], [0, 3]],
    "no target answers anything": [[4, 5, BARE], [9, 8, BARE_PICTURED], [3, BARE]],
    "the same user twice": [[3, 4, 5, 6], [3, 4, 5, 6]],
}


def plan_whole(sequences: Ragged, supervision: str, seed: int = 0) -> EpochPlan:
    """Plan one window a user over the whole sequence, so that a case is exactly what it says."""
    rng = generator(seed, "plan")
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:] - 1
    counts = np.ones(len(starts), dtype=np.int64) if supervision == "last" else ends - starts
    targets = [np.arange(end - count + 1, end + 1) for end, count in zip(ends, counts, strict=True)]
    return EpochPlan(
        users=np.arange(len(starts), dtype=np.int32),
        starts=starts,
        ends=ends,
        target_offsets=np.concatenate([[0], np.cumsum(counts)]),
        targets=np.concatenate(targets),
        negatives=rng.integers(0, 20, (int(counts.sum()), 1, 3)).astype(np.int32),
        alignment_targets=np.array([own[rng.integers(len(own))] for own in targets]),
        template_draws=rng.random(len(starts)),
    )


def make_trainer(recommender: Recommender, sequences: Ragged) -> Trainer:
    class Silent:
        def log(self, step: int, values: dict[str, float]) -> None: ...

    return Trainer(
        recommender, sequences, SETTINGS, validate=lambda model: 0.0, checkpoints=Path("unused"), journal=Silent()
    )


def gradients(recommender: Recommender, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    trained = recommender.named_parameters()
    for value in trained.values():
        value.grad = None
    torch.stack(list(losses.values())).sum().backward()
    return {
        name: torch.zeros_like(value) if value.grad is None else value.grad.clone() for name, value in trained.items()
    }


def differences(
    recommender: Recommender, model: object, sequences: Ragged, plan: EpochPlan, together: int = 1
) -> tuple[float, float]:
    """Return the largest difference of a loss, and of a parameter's gradient relative to its norm."""
    ours = make_trainer(recommender, sequences).compute_losses(plan, slice(0, len(plan)))
    our_gradients = gradients(recommender, ours)
    plain = Reference(recommender, model, together).compute_losses(plan, range(len(plan)), sequences)
    plain_gradients = gradients(recommender, plain)
    assert ours.keys() == plain.keys()
    loss = max(abs(float(ours[name].detach() - plain[name].detach())) for name in plain)
    relative = [
        float((our_gradients[name] - plain_gradients[name]).norm() / plain_gradients[name].norm().clamp_min(1e-6))
        for name in plain_gradients
    ]
    return loss, max(relative)


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> object:
    return load_language_model(tiny_model_folder)


@pytest.mark.parametrize("supervision", ["last", "every"])
@pytest.mark.parametrize("case", ADVERSARIAL)
def test_hard_cases_agree(
    case: str, supervision: str, tiny_backbone: Backbone, tiny_items: pl.DataFrame, model: object
) -> None:
    recommender = build_recommender(tiny_backbone, tiny_items, history_limit=HISTORY_LIMIT)
    sequences = pack_rows(ADVERSARIAL[case])
    loss, gradient = differences(recommender, model, sequences, plan_whole(sequences, supervision))
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


@pytest.mark.parametrize("supervision", ["last", "every"])
@pytest.mark.parametrize("seed", range(3))
def test_planned_epochs_agree(
    seed: int, supervision: str, tiny_backbone: Backbone, tiny_items: pl.DataFrame, model: object
) -> None:
    preset, rule = (("paper", "unseen_shared"), ("authors", "any_per_type"))[seed % 2]
    recommender = build_recommender(tiny_backbone, tiny_items, preset=preset, seed=seed, history_limit=HISTORY_LIMIT)
    sequences = make_sequences(10, 20, (1, 14), seed)
    plan = plan_epoch(
        sequences, n_items=20, n_types=3, history_limit=HISTORY_LIMIT, window="random",
        supervision=supervision, negative_rule=rule, seed=seed, epoch=0,
    )  # fmt: skip
    loss, gradient = differences(recommender, model, sequences, plan)
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


@pytest.mark.parametrize("pictured", [True, False])
def test_catalogs_with_all_and_with_no_pictures_agree(
    pictured: bool, tiny_backbone: Backbone, tiny_items: pl.DataFrame, model: object
) -> None:
    recommender = build_recommender(tiny_backbone, tiny_items, pictured=np.full(20, pictured))
    sequences = make_sequences(6, 20, (2, 9))
    loss, gradient = differences(recommender, model, sequences, plan_whole(sequences, "last"))
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


VARIANTS: dict[str, dict[str, object]] = {
    "instruction first": {"instruction": "before_history"},
    "image and description": {"representation": "image+description"},
    "attributes": {"representation": "attribute"},
    "taste": {"representation": "cf"},
    "summaries": {"representation": "summary"},
    "descriptions": {"representation": "description"},
    "titles": {"representation": "title"},
    "missing pictures keep their slot": {"missing_image": "feature"},
    "missing pictures leave nothing": {"missing_image": "drop"},
    "three tokens a picture": {"image_tokens": 3},
    "no titles": {"title_tokens": 0},
    "slots alone": {"title_tokens": 0, "item_marks": "none"},
    "picture and taste in one token": {"representation": "image+cf", "image_tokens": 2},
    "a chat of its own": {"alignment_prompt": "chat"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_way_to_write_a_prompt_agrees(
    variant: str, tiny_backbone: Backbone, tiny_items: pl.DataFrame, model: object
) -> None:
    form = replace(FORM, **VARIANTS[variant])
    recommender = build_recommender(tiny_backbone, tiny_items, form=form, type_weights="learned")
    sequences = pack_rows([[4, 5, 6, 8, 9, 10, 11], [0, 3], [5, 2, 7], [9, 10], [4, 6, 12]])
    plan = replace(plan_whole(sequences, "every"), hidden=generator(0, "hidden").random(len(sequences.values)) < 0.3)
    loss, gradient = differences(recommender, model, sequences, plan)
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


@pytest.mark.parametrize("shortcut", ["both", "prefix", "last layer", "neither"])
def test_each_shortcut_agrees_alone_and_with_the_other(
    shortcut: str, tiny_model_folder: Path, tiny_items: pl.DataFrame, model: object
) -> None:
    backbone = Backbone(tiny_model_folder)
    assert backbone.shares_prefix
    assert backbone.narrows
    backbone.shares_prefix = shortcut in ("both", "prefix")
    backbone.narrows = shortcut in ("both", "last layer")
    recommender = build_recommender(backbone, tiny_items, history_limit=HISTORY_LIMIT)
    sequences = pack_rows(ADVERSARIAL["shortest beside longest"])
    loss, gradient = differences(recommender, model, sequences, plan_whole(sequences, "every"))
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


@pytest.mark.parametrize("pass_tokens", [1, 150, 400])
def test_gradients_of_passes_add_up_to_those_of_the_batch(
    pass_tokens: int, tiny_backbone: Backbone, tiny_items: pl.DataFrame
) -> None:
    recommender = build_recommender(tiny_backbone, tiny_items, history_limit=HISTORY_LIMIT)
    sequences = pack_rows([*ADVERSARIAL["shortest beside longest"], *ADVERSARIAL["some targets answer nothing"]])
    plan = plan_whole(sequences, "every")
    trainer = make_trainer(recommender, sequences)
    whole = trainer.compute_losses(plan, slice(0, len(plan)))
    expected = gradients(recommender, whole)
    cases = trainer.objective.write_cases(plan, range(len(plan)), "joint")
    groups = list(trainer.objective.split_passes(cases, pass_tokens))
    assert len(groups) > 1
    totals = trainer.objective.count(cases)
    parts = [trainer.objective.compute(plan, group, totals, 0) for group in groups]
    summed = {name: torch.stack([part[name] for part in parts if name in part]).sum() for name in whole}
    found = gradients(recommender, summed)
    for name in whole:
        assert float(summed[name].detach()) == pytest.approx(float(whole[name].detach()), abs=LOSS_TOLERANCE)
    for name, value in expected.items():
        assert float((found[name] - value).norm()) <= GRADIENT_TOLERANCE * max(float(value.norm()), 1e-6), name


def test_a_gpu_is_not_given_a_small_models_batch_in_pieces(
    tiny_backbone: Backbone, tiny_items: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where starting a pass costs more than its padding, cases of different lengths are read together."""
    recommender = build_recommender(tiny_backbone, tiny_items, history_limit=HISTORY_LIMIT)
    rng = np.random.default_rng(0)
    sequences = pack_rows([rng.integers(0, 20, length).astype(np.int32) for length in (2, 3, 9) for _ in range(12)])
    objective = make_trainer(recommender, sequences).objective
    cases = objective.write_cases(plan_whole(sequences, "every"), range(36), "joint")
    pieces = list(objective.split_passes(cases, 100_000))
    recommender.backbone = copy.copy(tiny_backbone)
    recommender.backbone.device = torch.device("cuda")
    assert len(list(objective.split_passes(cases, 100_000))) == 1 < len(pieces)
    assert recommender.backbone.busy_tokens > tiny_backbone.busy_tokens
    monkeypatch.setattr(Backbone, "layers", 32)
    monkeypatch.setattr(Backbone, "parameters_per_token", 2_700_000_000)
    assert tiny_backbone.busy_tokens <= recommender.backbone.busy_tokens < 2000, "a large model is busy with few"


def test_agreement_is_closer_in_double_precision(tiny_model_folder: Path, tiny_items: pl.DataFrame) -> None:
    backbone = Backbone(tiny_model_folder, torch.float64)
    recommender = build_recommender(backbone, tiny_items)
    sequences = make_sequences(6, 20, (2, 9), seed=4)
    wide = load_language_model(tiny_model_folder, torch.float64)
    # Only the trained parts are still single precision, on both sides.
    loss, gradient = differences(recommender, wide, sequences, plan_whole(sequences, "every"))
    assert loss < 5e-7
    assert gradient < 2e-6


def test_padded_plain_batches_agree_with_unpadded_ones(
    tiny_backbone: Backbone, tiny_items: pl.DataFrame, model: object
) -> None:
    recommender = build_recommender(tiny_backbone, tiny_items)
    sequences = make_sequences(7, 20, (2, 9), seed=5)
    loss, gradient = differences(recommender, model, sequences, plan_whole(sequences, "last"), together=32)
    assert loss < LOSS_TOLERANCE
    assert gradient < GRADIENT_TOLERANCE


def behind_the_prefix(batch: PromptBatch, mask: Tensor) -> Tensor:
    return torch.nn.functional.pad(mask[:, None], (batch.prefix_length, 0), value=True)


def see_all_branches(batch: PromptBatch) -> Tensor:
    size = batch.branches.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool).tril()
    return behind_the_prefix(batch, causal & (batch.users[:, :, None] == batch.users[:, None, :]))


def see_all_users(batch: PromptBatch) -> Tensor:
    size = batch.branches.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool).tril()
    own_branch = batch.branches[:, :, None] == batch.branches[:, None, :]
    on_trunk = (batch.branches == 0)[:, None, :] & (batch.positions[:, None, :] < batch.leaves_at[:, :, None])
    return behind_the_prefix(batch, causal & (own_branch | on_trunk))


def see_the_whole_trunk(batch: PromptBatch) -> Tensor:
    size = batch.branches.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool).tril()
    same_user = batch.users[:, :, None] == batch.users[:, None, :]
    own_branch = batch.branches[:, :, None] == batch.branches[:, None, :]
    return behind_the_prefix(batch, causal & same_user & (own_branch | (batch.branches == 0)[:, None, :]))


@pytest.mark.parametrize("wrong_mask", [see_all_branches, see_all_users, see_the_whole_trunk])
def test_a_wrong_mask_fails_the_same_comparison_by_orders_of_magnitude(
    wrong_mask: object,
    tiny_backbone: Backbone,
    tiny_items: pl.DataFrame,
    model: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recommender = build_recommender(tiny_backbone, tiny_items)
    sequences = pack_rows([[4, 5, 6, 8, 9, 10, 11], [0, 3], [5, 6], [9, 10], [4, 6]])  # the short ones share rows
    plan = plan_whole(sequences, "every")
    loss, gradient = differences(recommender, model, sequences, plan)
    assert loss < LOSS_TOLERANCE
    monkeypatch.setattr(PromptBatch, "attention_mask", wrong_mask)
    wrong_loss, wrong_gradient = differences(recommender, model, sequences, plan)
    assert wrong_loss > 1000 * LOSS_TOLERANCE
    assert wrong_gradient > 1000 * GRADIENT_TOLERANCE
    assert wrong_gradient > 1000 * gradient
