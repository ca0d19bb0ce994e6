"""The recommender: equal after saving, equal for equal seeds, and one user's vector is that user's affair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from benchmarks.reference import Reference, load_language_model
from benchmarks.tiny import build_recommender
from illmrec.data.histories import Indices
from illmrec.models.backbone import Backbone
from illmrec.models.recommender import Recommender
from illmrec.training.checkpoint import read_tensors, write_tensors


@pytest.fixture(scope="module", params=["paper", "authors"])
def recommender(request: pytest.FixtureRequest, tiny_backbone: Backbone, tiny_items: pl.DataFrame) -> Recommender:
    return build_recommender(tiny_backbone, tiny_items, preset=request.param)


@pytest.fixture(scope="module")
def histories() -> list[Indices]:
    rng = np.random.default_rng(0)
    lengths = (1, 8, 3, 12, 1, 5, 8, 2, 7, 4, 6, 30, 2)  # the limit is 8
    return [rng.integers(0, 20, length).astype(np.int32) for length in lengths]


def test_vectors_do_not_depend_on_the_batch(recommender: Recommender, histories: list[Indices]) -> None:
    alone = recommender.represent_users(histories, 1)
    for size in (2, 7, len(histories), 100):
        assert np.abs(recommender.represent_users(histories, size) - alone).max() < 1e-5
    order = np.random.default_rng(1).permutation(len(histories))
    shuffled = recommender.represent_users([histories[row] for row in order], 7)
    assert np.abs(shuffled - alone[order]).max() < 1e-5


def test_another_users_history_changes_nothing(recommender: Recommender, histories: list[Indices]) -> None:
    others = [np.full(len(history), 9, dtype=np.int32) for history in histories]
    before = recommender.represent_users(histories, 7)
    changed = recommender.represent_users([histories[0], *others[1:]], 7)
    assert np.abs(before[0] - changed[0]).max() < 1e-5
    assert np.abs(before[1] - changed[1]).max() > 1e-2


def test_vectors_are_those_of_prompts_written_out_one_by_one(
    recommender: Recommender, histories: list[Indices], tiny_model_folder: Path
) -> None:
    plain = Reference(recommender, load_language_model(tiny_model_folder))
    with torch.inference_mode():
        prompts = [plain.write_retrieval(history[-8:].tolist()) for history in histories]
        expected = np.stack([hidden[-1].numpy() for hidden, _ in plain.run(prompts)])
    assert np.abs(recommender.represent_users(histories, 5) - expected).max() < 1e-5


def test_only_the_most_recent_items_are_shown(recommender: Recommender) -> None:
    long = np.arange(20, dtype=np.int32)
    shown, whole, shorter = recommender.represent_users([long[-8:], long, long[-7:]], 1)
    assert np.array_equal(shown, whole)
    assert np.abs(shown - shorter).max() > 1e-3


def test_order_and_pictures_of_the_history_matter(recommender: Recommender) -> None:
    forward, backward = recommender.represent_users([np.array([3, 5, 8]), np.array([8, 5, 3])], 2)
    assert np.abs(forward - backward).max() > 1e-3
    before = recommender.represent_users([np.array([3, 5, 8])], 1)
    with torch.no_grad():
        recommender.parts.adaptor[-1].bias.add_(1.0)
    try:
        assert np.abs(recommender.represent_users([np.array([3, 5, 8])], 1) - before).max() > 1e-3
        without = recommender.represent_users([np.array([2, 7, 12])], 1)  # no item of these has a picture
    finally:
        with torch.no_grad():
            recommender.parts.adaptor[-1].bias.sub_(1.0)
    assert np.allclose(recommender.represent_users([np.array([2, 7, 12])], 1), without, atol=1e-6)


def test_scores_are_the_sum_of_the_types_shares(recommender: Recommender, histories: list[Indices]) -> None:
    users = recommender.project_users(recommender.represent_users(histories[:4], 4))
    items = recommender.represent_items()
    assert items.shape == (20, 36)
    heads = recommender.parts.heads
    pairs = torch.from_numpy(users[[0, 1, 2, 3]]), torch.from_numpy(items[[5, 0, 19, 7]])
    shares = heads.split_scores(*pairs)
    assert shares.shape == (4, 3)
    assert torch.allclose(shares.sum(-1), (pairs[0] * pairs[1]).sum(-1), atol=1e-6)
    by_hand = (users[1, 12:24] * items[0, 12:24]).sum()
    assert float(shares[1, 1]) == pytest.approx(float(by_hand), abs=1e-6)
    assert np.array_equal(recommender.represent_items(block=6), recommender.represent_items(block=6))
    assert np.abs(recommender.represent_items(block=6) - items).max() < 1e-6


def test_a_saved_model_gives_equal_scores(
    recommender: Recommender,
    histories: list[Indices],
    tmp_path: Path,
    tiny_backbone: Backbone,
    tiny_items: pl.DataFrame,
) -> None:
    write_tensors(tmp_path / "model", recommender.state(), {"kind": "test"})
    preset = "paper" if len(recommender.parts.adaptor) == 3 else "authors"
    other = build_recommender(tiny_backbone, tiny_items, preset=preset, seed=99)
    before = other.project_users(other.represent_users(histories, 4))
    other.load_state(dict(read_tensors(tmp_path / "model").tensors))
    users = recommender.project_users(recommender.represent_users(histories, 4))
    loaded = other.project_users(other.represent_users(histories, 4))
    assert not np.array_equal(users, before)
    assert np.array_equal(users, loaded)
    assert np.array_equal(recommender.represent_items(), other.represent_items())


def test_the_saved_parts_hold_nothing_of_the_language_model(recommender: Recommender) -> None:
    names = {name.split(".")[0] for name in recommender.state()}
    assert names == {"adaptor", "rec", "heads"}


def test_no_users_give_no_rows(recommender: Recommender) -> None:
    assert recommender.represent_users([], 4).shape == (0, 32)
