"""Models that read histories: what they say of a user depends on the history alone; they learn what follows what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from illmrec.data.histories import Ragged, pack_rows
from illmrec.models.bert4rec import Bert4Rec
from illmrec.models.gru4rec import Gru4Rec
from illmrec.models.sasrec import SasRec
from illmrec.models.sequence import pad_left
from illmrec.training.cf import Ask, CfSettings, ask_hidden, ask_next, train_sequences
from illmrec.training.cf_losses import LossSettings
from illmrec.training.checkpoint import read_tensors, write_tensors

N_ITEMS, MAX_LENGTH = 20, 12
Model = SasRec | Gru4Rec | Bert4Rec

BUILDERS: dict[str, Callable[[float], Model]] = {
    "sasrec": lambda dropout: SasRec(N_ITEMS, 16, blocks=2, heads=2, max_length=MAX_LENGTH, dropout=dropout),
    "gru4rec": lambda dropout: Gru4Rec(N_ITEMS, 16, layers=2, max_length=MAX_LENGTH, dropout=dropout),
    "bert4rec": lambda dropout: Bert4Rec(N_ITEMS, 16, blocks=2, heads=2, max_length=MAX_LENGTH, dropout=dropout),
}
ASKS: dict[str, Callable[[Any], Ask]] = {
    "sasrec": ask_next,
    "gru4rec": ask_next,
    "bert4rec": ask_hidden(share=0.4, last_share=0.3),
}
LOSSES = {
    "bce": LossSettings(),
    "gbce": LossSettings("gbce", negatives=8, negative_sharing="step", gbce_calibration=0.75),
    "softmax": LossSettings("softmax", negatives=4),
    "cross_entropy": LossSettings("cross_entropy"),
}


@pytest.fixture(params=list(BUILDERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> Model:
    torch.manual_seed(0)
    model = BUILDERS[name](0.3).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from zero biases, so that nothing cancels by chance
            parameter.add_(torch.randn_like(parameter) * 0.2)
        model.items.weight[0].zero_()
    return model


def some_histories() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, N_ITEMS, length).astype(np.int32) for length in (1, 2, 0, 5, 11, 12, 13, 30, 1, 4)]


def test_the_batch_a_user_is_in_changes_nothing(model: Model) -> None:
    rows = some_histories()
    together = model.represent_users(rows)
    assert together.shape == (len(rows), 16)
    assert np.abs(together - together[0]).max() > 1e-2, "users differ"
    for size in (1, 3):
        assert np.abs(together - model.represent_users(rows, batch_size=size)).max() < 1e-5
    order = np.random.default_rng(1).permutation(len(rows))
    assert np.abs(together[order] - model.represent_users([rows[i] for i in order])).max() < 1e-5


def test_padding_changes_nothing(model: Model) -> None:
    padded = pad_left([np.array([3, 5, 7])], MAX_LENGTH)
    widest = model(padded)[0, -3:]
    for width in range(3, MAX_LENGTH):
        assert (model(padded[:, -width:])[0, -3:] - widest).abs().max() < 1e-5


def test_rows_may_come_packed(model: Model) -> None:
    rows = some_histories()
    assert np.array_equal(model.represent_users(rows), model.represent_users(pack_rows(rows)))


def test_the_order_of_items_matters(model: Model) -> None:
    forward, backward = model.represent_users([np.array([3, 5, 7]), np.array([7, 5, 3])])
    assert np.abs(forward - backward).max() > 1e-2


def test_only_the_most_recent_items_are_read(model: Model) -> None:
    long = np.arange(N_ITEMS, dtype=np.int32)
    read = MAX_LENGTH - isinstance(model, Bert4Rec)
    recent, whole, fewer = model.represent_users([long[-read:], long, long[-read + 1 :]])
    assert np.abs(recent - whole).max() < 1e-6
    assert np.abs(recent - fewer).max() > 1e-3


def test_a_later_item_changes_earlier_states_of_bert4rec_alone(model: Model, name: str) -> None:
    items = pad_left([np.array([3, 5, 7, 9, 11])], MAX_LENGTH)
    changed = items.clone()
    changed[0, -2] = 18
    difference = (model(items)[0] - model(changed)[0]).abs().amax(1)
    assert (difference[-5:-2].max() > 1e-3) == (name == "bert4rec")
    assert difference[-2] > 1e-3


def test_a_saved_model_gives_equal_vectors(model: Model, name: str, tmp_path: Path) -> None:
    write_tensors(tmp_path / "model", model.state_dict(), {})
    loaded = BUILDERS[name](0.0)
    loaded.load_state_dict(dict(read_tensors(tmp_path / "model").tensors))
    assert np.array_equal(loaded.represent_users(some_histories()), model.represent_users(some_histories()))
    assert np.array_equal(loaded.represent_items(), model.represent_items())
    assert loaded.represent_items().shape == (N_ITEMS, 16)


def successor_sequences() -> Ragged:
    """Item n is always followed by item n + 1, every item is as popular as every other."""
    return pack_rows(
        [[(start + step) % N_ITEMS for step in range(size)] for start in range(N_ITEMS) for size in (2, 3, 4, 6)]
    )


def find_successors(model: Model) -> float:
    """Return the share of items after which the best other item is the next one; popularity finds one in nineteen."""
    users = model.represent_users([np.array([(item - 1) % N_ITEMS, item]) for item in range(N_ITEMS)])
    scores = users @ model.represent_items().T
    scores[np.arange(N_ITEMS), np.arange(N_ITEMS)] = scores[np.arange(N_ITEMS), np.arange(N_ITEMS) - 1] = -np.inf
    return float((scores.argmax(axis=1) == (np.arange(N_ITEMS) + 1) % N_ITEMS).mean())


def settings(loss: LossSettings, **changes: Any) -> CfSettings:
    plain = {"learning_rate": 1e-2, "batch_size": 40, "epochs": 80, "patience": 100, "validate_every": 20, "seed": 0}
    return CfSettings(**(plain | changes), loss=loss)


@pytest.mark.parametrize(
    ("name", "loss"),
    [("gru4rec", "cross_entropy"), ("bert4rec", "cross_entropy"), *(("sasrec", loss) for loss in LOSSES)],
)
def test_it_learns_what_follows_what(name: str, loss: str) -> None:
    result = train_sequences(
        lambda: BUILDERS[name](0.1), successor_sequences(), settings(LOSSES[loss]), find_successors, ASKS[name], name
    )
    assert result.best_score >= 0.8
    assert find_successors(result.model) == result.best_score
    assert result.curve[-1]["loss"] < result.curve[0]["loss"]


@pytest.mark.parametrize("loss", list(LOSSES))
def test_equal_seeds_give_equal_bits(name: str, loss: str) -> None:
    def train(seed: int) -> tuple[list[dict[str, float]], np.ndarray]:
        short = settings(LOSSES[loss], epochs=2, validate_every=2, batch_size=16, seed=seed)
        result = train_sequences(
            lambda: BUILDERS[name](0.2), successor_sequences(), short, find_successors, ASKS[name], name
        )
        return result.curve, result.model.represent_users(some_histories())

    first, again, other = train(0), train(0), train(1)
    assert first[0] == again[0]
    assert np.array_equal(first[1], again[1])
    assert first[0] != other[0]


def test_the_padding_row_stays_zero(name: str) -> None:
    short = settings(LOSSES["cross_entropy"], epochs=1, validate_every=1)
    result = train_sequences(
        lambda: BUILDERS[name](0.2), successor_sequences(), short, lambda model: 0.0, ASKS[name], name
    )
    assert not result.model.items.weight[0].any()
