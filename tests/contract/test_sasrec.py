"""SASRec: states depend on the items before them, on nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from illmrec.models.sasrec import SasRec
from illmrec.models.sequence import pad_left
from illmrec.training.checkpoint import read_tensors, write_tensors

MAX_LENGTH = 12


@pytest.fixture(scope="module", params=[1, 2])
def model(request: pytest.FixtureRequest) -> SasRec:
    torch.manual_seed(0)
    model = SasRec(n_items=20, width=16, blocks=2, heads=request.param, max_length=MAX_LENGTH, dropout=0.2).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from zero biases, so that nothing cancels by chance
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.items.weight[0].zero_()
    return model


def histories() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 20, length).astype(np.int32) for length in (1, 2, 5, 11, 12, 13, 30, 1)]


def test_the_batch_a_user_is_in_changes_nothing(model: SasRec) -> None:
    rows = histories()
    together = model.represent_users(rows)
    assert np.abs(together - model.represent_users(rows, batch_size=1)).max() < 1e-5
    assert np.abs(together - model.represent_users(rows, batch_size=3)).max() < 1e-5
    order = [5, 0, 7, 2, 6, 1, 4, 3]
    assert np.abs(together[order] - model.represent_users([rows[i] for i in order])).max() < 1e-5


def test_the_places_left_before_the_items_change_nothing(model: SasRec) -> None:
    padded = pad_left([np.array([3, 5, 7])], MAX_LENGTH)
    widest = model(padded)[0, -3:]
    for width in range(3, MAX_LENGTH):
        assert (model(padded[:, -width:])[0, -3:] - widest).abs().max() < 1e-5


def test_a_later_item_changes_no_earlier_state(model: SasRec) -> None:
    items = pad_left([np.array([3, 5, 7, 9, 11])], MAX_LENGTH)
    changed = items.clone()
    changed[0, -2] = 18
    before, after = model(items)[0], model(changed)[0]
    assert torch.equal(before[:-2], after[:-2])
    assert (before[-2:] - after[-2:]).abs().max() > 1e-2


def test_the_order_of_items_matters(model: SasRec) -> None:
    forward, backward = model.represent_users([np.array([3, 5, 7]), np.array([7, 5, 3])])
    assert np.abs(forward - backward).max() > 1e-2


def test_only_the_most_recent_items_are_read(model: SasRec) -> None:
    long = np.arange(20, dtype=np.int32)
    recent, all_of_it = model.represent_users([long[-MAX_LENGTH:], long])
    assert np.array_equal(recent, all_of_it)


def test_a_saved_model_gives_equal_vectors(model: SasRec, tmp_path: Path) -> None:
    write_tensors(tmp_path / "cf", model.state_dict(), {})
    loaded = SasRec(20, 16, 2, model.blocks[0].heads, MAX_LENGTH, 0.2)
    loaded.load_state_dict(dict(read_tensors(tmp_path / "cf").tensors))
    assert np.array_equal(loaded.represent_users(histories()), model.represent_users(histories()))
    assert np.array_equal(loaded.represent_items(), model.represent_items())
    assert loaded.represent_items().shape == (20, 16)
