from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from illmrec.data.histories import Ragged, pack_rows
from illmrec.models.bert4rec import Bert4Rec
from illmrec.models.sasrec import SasRec
from illmrec.models.sequence import pad_left
from illmrec.training.cf import (
    Ask,
    CfSettings,
    _group_by_length,
    _read_batch,
    ask_hidden,
    ask_next,
    mark_trained_items,
    train_sequences,
)
from illmrec.training.cf_loop import CfResult
from illmrec.training.cf_losses import LossSettings

N_ITEMS = 12
SETTINGS = CfSettings(
    learning_rate=5e-3, batch_size=8, epochs=4, patience=10, validate_every=2, seed=0, loss=LossSettings()
)


def sequences() -> Ragged:
    """Item n is always followed by item n + 1."""
    return pack_rows([[(start + step) % N_ITEMS for step in range(4 + start % 3)] for start in range(N_ITEMS)] * 3)


def build() -> SasRec:
    return SasRec(N_ITEMS, width=16, blocks=1, heads=1, max_length=8, dropout=0.1)


def train_sasrec(settings: CfSettings, validate: Callable[[SasRec], float]) -> CfResult[SasRec]:
    return train_sequences(build, sequences(), settings, validate, ask_next, "sasrec")


def test_the_best_state_is_kept_and_patience_ends_the_run() -> None:
    scores = iter([0.1, 0.7, 0.3, 0.2, 0.9])
    states: list[dict[str, torch.Tensor]] = []

    def validate(model: SasRec) -> float:
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        return next(scores)

    settings = replace(SETTINGS, epochs=50, validate_every=2, patience=2)
    result = train_sasrec(settings, validate)
    assert (result.best_epoch, result.best_score, len(result.curve)) == (4, 0.7, 8)
    kept = result.model.state_dict()
    assert all(torch.equal(kept[name], states[1][name]) for name in kept)
    assert not result.model.training


def test_the_next_item_is_asked_at_every_item_and_nowhere_else() -> None:
    inputs, targets = ask_next(build())(pack_rows([[4, 5, 6], [7, 8]]), np.random.default_rng(0))
    assert inputs.tolist() == [[5, 6], [0, 8]]
    assert targets.tolist() == [[5, 6], [-1, 8]]


def test_of_a_long_sequence_the_most_recent_targets_are_asked() -> None:
    inputs, targets = ask_next(build())(pack_rows([list(range(11))]), np.random.default_rng(0))
    assert inputs.tolist() == [[3, 4, 5, 6, 7, 8, 9, 10]]
    assert targets.tolist() == [[3, 4, 5, 6, 7, 8, 9, 10]]


def test_hidden_items_are_the_targets_and_the_others_are_read() -> None:
    model = Bert4Rec(N_ITEMS, width=8, blocks=1, heads=1, max_length=6, dropout=0.0)
    rows = pack_rows([[1, 2, 3, 4, 5, 6, 7], [8, 9], [3]] * 200)
    inputs, targets = ask_hidden(share=0.5, last_share=0.0)(model)(rows, np.random.default_rng(0))
    padded = pad_left(rows, 6)
    hidden = inputs == N_ITEMS + 1
    assert torch.equal(hidden, targets >= 0)
    assert torch.equal(inputs[~hidden], padded[~hidden])
    assert torch.equal(targets[hidden], padded[hidden] - 1)
    assert hidden.any(1).all()
    assert 0.45 < float(hidden[::3].float().mean()) < 0.55
    assert not hidden[padded == 0].any()


def test_the_last_item_alone_can_be_hidden() -> None:
    model = Bert4Rec(N_ITEMS, width=8, blocks=1, heads=1, max_length=6, dropout=0.0)
    rows = pack_rows([[1, 2, 3, 4]] * 400)
    _, targets = ask_hidden(share=0.9, last_share=0.25)(model)(rows, np.random.default_rng(0))
    alone = (targets[:, :-1] < 0).all(1) & (targets[:, -1] == 4)
    assert 0.2 < float(alone.float().mean()) < 0.3


def test_reading_by_length_asks_everything_once() -> None:
    model = build().eval()
    rows = pack_rows([list(range(n)) for n in (2, 3, 4, 9, 10, 2, 7)])
    states, targets, owners = _read_batch(model, rows, ask_next(model), np.random.default_rng(0))
    inputs, asked = ask_next(model)(rows, np.random.default_rng(0))
    plain = model(inputs)[asked >= 0]
    assert sorted(targets.tolist()) == sorted(asked[asked >= 0].tolist())
    assert np.bincount(owners).tolist() == [min(len(rows[row]) - 1, 8) for row in range(len(rows))]
    mine, theirs = (rows[rows[:, 0].argsort()] for rows in (states.detach(), plain.detach()))
    assert torch.allclose(mine, theirs, atol=1e-5)
    assert len(list(_group_by_length(rows.lengths, 12))) == 3


def test_all_of_a_long_sequence_is_learned_from_in_time() -> None:
    asked: list[int] = []

    def ask(model: SasRec) -> Ask:
        questions = ask_next(model)

        def record(rows: Ragged, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            inputs, targets = questions(rows, rng)
            asked.extend(targets[targets >= 0].tolist())
            return inputs, targets

        return record

    rows = pack_rows([list(range(30)), [3, 4]])
    settings = replace(SETTINGS, epochs=40, validate_every=40)
    train_sequences(lambda: SasRec(30, 8, 1, 1, 8, 0.0), rows, settings, lambda _: 0.0, ask, "sasrec")
    assert set(asked) == set(range(1, 30))
    assert len(asked) == 40 * (8 + 1), "as many targets in each epoch as the model has places"


def test_items_are_padded_on_the_left_and_cut_to_the_most_recent() -> None:
    padded = pad_left([np.array([0, 4]), np.arange(9), np.array([], dtype=np.int32)], 4)
    assert padded.tolist() == [[0, 0, 1, 5], [6, 7, 8, 9], [0, 0, 0, 0]]


@pytest.mark.parametrize(("rows", "marked"), [([[0, 2], [2, 3]], [1, 0, 1, 1, 0]), ([[]], [0] * 5)])
def test_items_of_the_training_sequences_are_marked(rows: list[list[int]], marked: list[int]) -> None:
    assert mark_trained_items(pack_rows(rows), 5).tolist() == [bool(mark) for mark in marked]
