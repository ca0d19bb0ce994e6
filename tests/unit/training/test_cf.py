from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from illmrec.data.histories import Ragged, pack_rows
from illmrec.models.sasrec import SasRec, pad_left
from illmrec.training.cf import CfSettings, mark_trained_items, train_sasrec

N_ITEMS = 12
SETTINGS = CfSettings(learning_rate=5e-3, batch_size=8, epochs=4, patience=10, validate_every=2, seed=0)


def sequences() -> Ragged:
    """Item n is always followed by item n + 1."""
    return pack_rows([[(start + step) % N_ITEMS for step in range(4 + start % 3)] for start in range(N_ITEMS)] * 3)


def build() -> SasRec:
    return SasRec(N_ITEMS, width=16, blocks=1, heads=1, max_length=8, dropout=0.1)


def successors_found(model: SasRec) -> float:
    users = model.represent_users([np.array([item]) for item in range(N_ITEMS)])
    best = (users @ model.represent_items().T).argmax(axis=1)
    return float((best == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def test_it_learns_what_follows_what() -> None:
    settings = replace(SETTINGS, epochs=60, validate_every=15, batch_size=36, learning_rate=2e-2)
    result = train_sasrec(build, sequences(), settings, successors_found)
    assert result.best_score >= 0.9
    assert successors_found(result.model) == result.best_score
    assert result.curve[-1]["loss"] < result.curve[0]["loss"]


def test_equal_seeds_give_equal_bits() -> None:
    first, second = (train_sasrec(build, sequences(), SETTINGS, successors_found) for _ in range(2))
    assert first.curve == second.curve
    states = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    other = train_sasrec(build, sequences(), replace(SETTINGS, seed=1), successors_found)
    assert other.curve != first.curve


def test_the_best_state_is_kept_and_patience_ends_the_run() -> None:
    scores = iter([0.1, 0.7, 0.3, 0.2, 0.9])
    states: list[dict[str, torch.Tensor]] = []

    def validate(model: SasRec) -> float:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(scores)

    settings = replace(SETTINGS, epochs=50, validate_every=2, patience=2)
    result = train_sasrec(build, sequences(), settings, validate)
    assert (result.best_epoch, result.best_score, len(result.curve)) == (4, 0.7, 8)
    kept = result.model.state_dict()
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)
    assert not result.model.training


def test_the_padding_row_stays_zero() -> None:
    result = train_sasrec(build, sequences(), SETTINGS, successors_found)
    assert not result.model.items.weight[0].any()


def test_items_are_padded_on_the_left_and_cut_to_the_most_recent() -> None:
    padded = pad_left([np.array([0, 4]), np.arange(9), np.array([], dtype=np.int32)], 4)
    assert padded.tolist() == [[0, 0, 1, 5], [6, 7, 8, 9], [0, 0, 0, 0]]


@pytest.mark.parametrize(("rows", "marked"), [([[0, 2], [2, 3]], [1, 0, 1, 1, 0]), ([[]], [0] * 5)])
def test_items_of_the_training_sequences_are_marked(rows: list[list[int]], marked: list[int]) -> None:
    assert mark_trained_items(pack_rows(rows), 5).tolist() == [bool(mark) for mark in marked]
