from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from illmrec.data.examples import EpochPlan, plan_epoch
from illmrec.data.histories import Ragged, pack_rows

N_ITEMS = 30

SEQUENCES = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=25), min_size=1, max_size=12).map(pack_rows)


def plan(sequences: Ragged, **changes: Any) -> EpochPlan:
    arguments: dict[str, Any] = {
        "n_items": N_ITEMS,
        "n_types": 3,
        "history_limit": 6,
        "window": "random",
        "supervision": "last",
        "negative_rule": "unseen_shared",
        "seed": 0,
        "epoch": 0,
    }
    return plan_epoch(sequences, **(arguments | changes))


def windows_targets(drawn: EpochPlan, window: int) -> np.ndarray:
    return drawn.targets[drawn.target_offsets[window] : drawn.target_offsets[window + 1]]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sequences=SEQUENCES,
    window=st.sampled_from(["random", "last", "short"]),
    supervision=st.sampled_from(["last", "every"]),
    rule=st.sampled_from(["unseen_shared", "any_per_type"]),
    limit=st.integers(1, 12),
    seed=st.integers(0, 5),
)
def test_every_plan_keeps_its_promises(
    sequences: Ragged, window: str, supervision: str, rule: str, limit: int, seed: int
) -> None:
    drawn = plan(sequences, window=window, supervision=supervision, negative_rule=rule, history_limit=limit, seed=seed)
    assert sorted(drawn.users.tolist()) == [user for user in range(len(sequences)) if len(sequences[user]) >= 2]
    assert len(drawn.template_draws) == len(drawn)
    assert ((drawn.template_draws >= 0) & (drawn.template_draws < 1)).all()
    assert drawn.negatives.shape == (len(drawn.targets), 1, 3)
    assert all(drawn.alignment_targets[number] in windows_targets(drawn, number) for number in range(len(drawn)))
    assert drawn.target_offsets[-1] == len(drawn.targets)
    for number, user in enumerate(drawn.users):
        first, past = sequences.offsets[user], sequences.offsets[user + 1]
        start, end = drawn.starts[number], drawn.ends[number]
        assert first <= start < end < past
        assert end - start <= limit
        expected = [end] if supervision == "last" else list(range(start + 1, end + 1))
        assert windows_targets(drawn, number).tolist() == expected
        if window == "last":
            assert end == past - 1
        if window != "short":
            assert start == max(first, end - limit)
    owners = np.repeat(drawn.users, np.diff(drawn.target_offsets))
    for owner, target, negatives in zip(owners, drawn.targets, drawn.negatives, strict=True):
        assert ((negatives >= 0) & (negatives < N_ITEMS)).all()
        if rule == "unseen_shared":
            assert len(set(negatives[0].tolist())) == 1
            assert negatives[0, 0] not in sequences[owner]
        else:
            assert sequences.values[target] not in negatives


@settings(max_examples=20, deadline=None, derandomize=True)
@given(sequences=SEQUENCES, seed=st.integers(0, 3), epoch=st.integers(0, 3))
def test_a_plan_is_a_function_of_seed_and_epoch(sequences: Ragged, seed: int, epoch: int) -> None:
    first, second = plan(sequences, seed=seed, epoch=epoch), plan(sequences, seed=seed, epoch=epoch)
    assert all(np.array_equal(value, vars(second)[name]) for name, value in vars(first).items())


def test_seeds_and_epochs_draw_differently() -> None:
    sequences = pack_rows([list(range(10))] * 20)
    plans = [plan(sequences), plan(sequences, seed=1), plan(sequences, epoch=1)]
    for name in ("users", "ends", "negatives", "template_draws"):
        values = [vars(drawn)[name].tolist() for drawn in plans]
        assert values[0] != values[1] != values[2] != values[0], name


def test_random_targets_are_uniform_over_the_positions_after_the_first() -> None:
    ends = np.concatenate([plan(pack_rows([list(range(6))] * 500), epoch=epoch).ends % 6 for epoch in range(10)])
    counts = np.bincount(ends, minlength=6)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 1000).max() < 130  # 4.6 standard deviations


def test_where_every_item_is_a_target_whole_sequences_are_read_and_stretches_of_longer_ones() -> None:
    sequences = pack_rows([list(range(5)), list(range(40))])
    asked, aligned = np.zeros(45, dtype=np.int64), np.zeros(45, dtype=np.int64)
    for epoch in range(600):
        drawn = plan(sequences, supervision="every", history_limit=10, epoch=epoch)
        lengths = dict(zip(drawn.users.tolist(), (drawn.ends - drawn.starts).tolist(), strict=True))
        assert lengths == {0: 4, 1: 10}
        asked[drawn.targets] += 1
        aligned[drawn.alignment_targets] += 1
    assert set(asked[1:5]) == {600}
    # Ten of 50 places ask for the last item, and for one in the middle: 120 of 600.
    assert np.abs(asked[[25, 30, 44]] - 120).max() < 40
    assert asked[6:].min() > 80
    assert np.abs(aligned[1:5] - 150).max() < 40, "alignment asks about each of them"


def test_short_windows_have_the_published_lengths() -> None:
    sequences = pack_rows([list(range(25))] * 4000)
    drawn = plan(sequences, window="short", history_limit=20)
    lengths = np.bincount(drawn.ends - drawn.starts, minlength=10) / len(drawn)
    expected = np.array([0, 0, *[1 / 6 + 1 / 16] * 3, *[1 / 16] * 5])
    assert np.abs(lengths - expected).max() < 0.03
    cut = plan(sequences, window="short", history_limit=3)
    assert (cut.ends - cut.starts).max() == 3
    brief = plan(pack_rows([[1, 2, 3, 4]] * 50 + [[5, 6]]), window="short")
    found = brief.ends - brief.starts
    assert set(found[brief.users < 50]) == {2, 3}, "no shorter than published where the sequence is long enough"
    assert found[brief.users == 50].tolist() == [1]


def test_unseen_negatives_are_uniform_over_the_unseen_items() -> None:
    sequences = pack_rows([[0, 1, 2, 3, 4]] * 5000)
    counts = np.bincount(plan(sequences, n_items=10).negatives[:, 0, 0], minlength=10)
    assert counts[:5].tolist() == [0] * 5
    assert np.abs(counts[5:] - 1000).max() < 130


def test_negatives_of_the_authors_are_uniform_over_all_but_the_target() -> None:
    sequences = pack_rows([[0, 3]] * 9000)
    drawn = plan(sequences, n_items=10, negative_rule="any_per_type").negatives[:, 0]
    counts = np.stack([np.bincount(column, minlength=10) for column in drawn.T])
    assert counts[:, 3].tolist() == [0, 0, 0]
    assert np.abs(np.delete(counts, 3, axis=1) - 1000).max() < 145
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])


def test_a_user_who_has_seen_everything_still_gets_a_negative() -> None:
    drawn = plan(pack_rows([[0, 1, 2]]), n_items=3)
    assert drawn.negatives.shape == (1, 1, 3)
    assert 0 <= drawn.negatives[0, 0, 0] < 3


@pytest.mark.parametrize("rows", [[], [[]], [[3]], [[1], [], [2]]])
def test_nobody_to_train_on_gives_an_empty_plan(rows: list[list[int]]) -> None:
    assert len(plan(pack_rows(rows))) == 0
    assert len(plan(pack_rows(rows), supervision="every", window="short").targets) == 0


@pytest.mark.parametrize("rule", ["unseen_shared", "any_per_type"])
def test_more_negatives_keep_the_promises_of_one(rule: str) -> None:
    sequences = pack_rows([[0, 1, 2, 3], [4, 5, 6], [7, 0]])
    drawn = plan(sequences, negative_rule=rule, supervision="every", n_negatives=7)
    assert drawn.negatives.shape == (len(drawn.targets), 7, 3)
    owners = np.repeat(drawn.users, np.diff(drawn.target_offsets))
    for owner, target, negatives in zip(owners, drawn.targets, drawn.negatives, strict=True):
        refused = sequences[owner] if rule == "unseen_shared" else sequences.values[target : target + 1]
        assert not np.isin(negatives, refused).any()
    assert len(np.unique(drawn.negatives)) > 5


def test_hidden_pictures_are_drawn_anew_each_epoch_at_the_share_asked_for() -> None:
    sequences = pack_rows([list(range(10))] * 1000)
    assert plan(sequences).hidden is None
    first, second = (plan(sequences, hide_share=0.3, epoch=epoch).hidden for epoch in (0, 1))
    assert first.shape == sequences.values.shape
    assert abs(first.mean() - 0.3) < 0.02
    assert (first != second).any()


def test_histories_are_cut_at_their_tokens_oldest_first() -> None:
    sequences = pack_rows([[3, 1, 2, 0], [0, 0, 0], [2, 1]])
    tokens = np.array([1, 5, 10, 50] + [1] * (N_ITEMS - 4))
    for room, starts in (
        (100, [0, 4, 7]),
        (16, [1, 4, 7]),
        (15, [1, 4, 7]),
        (14, [2, 4, 7]),
        (1, [2, 5, 7]),
        (-5, [2, 5, 7]),
    ):
        drawn = plan(sequences, window="last", item_tokens=tokens, token_room=room)
        order = np.argsort(drawn.users)
        assert drawn.starts[order].tolist() == starts, room
        assert (drawn.targets[-1] > drawn.starts[-1]).all()
