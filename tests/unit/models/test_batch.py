from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.tiny import build_recommender, make_items, save_language_model
from illmrec.data.histories import pack_rows
from illmrec.models import templates
from illmrec.models.backbone import Backbone
from illmrec.models.batch import PADDING, TRUNK, PromptBatch, Request, build_batch, measure_requests, packing_pays
from illmrec.models.prompt import NO_SLOT, SLOT, PromptTokens

# Item i is the token 10 i + 1 before and 10 i + 2 after its slot; item 3 has no picture and a word of its own.
HEAD, INSTRUCTION, QUESTION = [901, 902], [911], [921, 922]


@pytest.fixture(scope="module")
def prompt() -> PromptTokens:
    count = len(templates.ALIGNMENT)
    answers = pack_rows([[50], [51, 52], [], [53]])
    return PromptTokens(
        head=np.array(HEAD, dtype=np.int32),
        items=pack_rows([[1, SLOT, 2], [11, 12, SLOT, 13], [SLOT, 22], [31, 32]]),
        slot_starts=np.array([1, 2, 0, NO_SLOT], dtype=np.int32),
        bare_items=pack_rows([[1, 2], [11, 12, 13], [22], [31, 32]]),
        instruction=np.array(INSTRUCTION, dtype=np.int32),
        questions=[np.array(QUESTION, dtype=np.int32)] * count,
        answers=[(np.array([931], dtype=np.int32), np.array([932], dtype=np.int32))] * count,
        properties=dict.fromkeys(templates.PROPERTIES, answers),
    )


def ask(history: list[int], depths: list[int], question: tuple[int, int] | None = None) -> Request:
    return Request(np.array(history, dtype=np.int32), depths, question)


def visible(batch: PromptBatch, row: int, place: int) -> list[int]:
    """Return the tokens that a place sees, in order."""
    return batch.token_ids[row][batch.attention_mask()[row, 0, place]].tolist()


def test_a_tree_with_every_kind_of_branch(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0, 3, 1], [1, 3], (0, 1))])
    trunk = [901, 902, 1, SLOT, 2, 31, 32, 11, 12, SLOT, 13]
    branches = [911, SLOT, 911, SLOT, 921, 922, 931, 51, 52, 932]
    assert batch.token_ids.tolist() == [trunk + branches]
    assert batch.positions.tolist() == [[*range(11), 5, 6, 11, 12, *range(11, 17)]]
    assert batch.branches.tolist() == [[TRUNK] * 11 + [1, 1, 2, 2] + [3] * 6]
    assert batch.leaves_at.tolist() == [[0] * 11 + [5, 5, 11, 11] + [11] * 6]
    assert batch.slot_places.tolist() == [3, 9]
    assert batch.slot_items.tolist() == [0, 1]
    assert batch.rec_places.tolist() == [12, 14]
    assert batch.token_ids[0, batch.rec_places].tolist() == [SLOT, SLOT]
    # The loss lies on exactly the answer's tokens: each is predicted from the place before it.
    assert batch.answer_tokens.tolist() == [931, 51, 52, 932]
    assert batch.answer_places.tolist() == [16, 17, 18, 19]
    assert batch.token_ids[0, batch.answer_places + 1].tolist() == batch.answer_tokens.tolist()


def test_a_branch_sees_its_trunk_and_itself_and_nothing_else(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0, 3, 1], [1, 3], (0, 1))])
    trunk = [901, 902, 1, SLOT, 2, 31, 32, 11, 12, SLOT, 13]
    assert visible(batch, 0, 6) == trunk[:7]
    assert visible(batch, 0, 12) == [*trunk[:5], 911, SLOT]
    assert visible(batch, 0, 13) == [*trunk, 911]
    assert visible(batch, 0, 20) == [*trunk, 921, 922, 931, 51, 52, 932]


def test_users_share_rows_but_see_nothing_of_each_other(prompt: PromptTokens) -> None:
    requests = [ask([2], [1]), ask([0, 1, 3], [3]), ask([3], [1]), ask([1], [1])]
    batch = build_batch(prompt, requests, width=1)
    assert batch.token_ids.shape[0] == 3, "two of the short prompts fit no row with the long one, but share theirs"
    mask = batch.attention_mask()[:, 0]
    same = batch.users[:, :, None] == batch.users[:, None, :]
    assert not (mask & ~same).any()
    places = batch.rec_places.tolist()
    flat_users = batch.users.reshape(-1)[places].tolist()
    assert flat_users == [0, 1, 2, 3], "retrieval branches come in the order of the requests"
    size = batch.token_ids.shape[1]
    expected = [[901, 902, SLOT, 22, 911, SLOT], [901, 902, 1, SLOT, 2, 11, 12, SLOT, 13, 31, 32, 911, SLOT]]
    assert [visible(batch, place // size, place % size) for place in places[:2]] == expected


def test_every_row_of_the_mask_sees_something(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0, 1, 2, 3], [1, 2, 3, 4]), ask([3], [1])])
    assert (batch.users == PADDING).any()
    assert batch.attention_mask().any(-1).all(), "an empty row would make the softmax not a number"


def test_rows_are_as_long_as_costs_least(prompt: PromptTokens) -> None:
    rng = np.random.default_rng(0)
    requests = [ask(rng.integers(0, 4, rng.integers(1, 9)).tolist(), [1]) for _ in range(30)]
    lengths = [build_batch(prompt, [request]).token_ids.numel() for request in requests]
    assert measure_requests(prompt, requests, with_head=True).tolist() == lengths
    dear, cheap = (build_batch(prompt, requests, width=width) for width in (1, 100_000))
    assert dear.token_ids.shape[1] == max(lengths), "where comparing is dear, no row is longer than it must be"
    assert cheap.token_ids.shape[1] > max(lengths), "where it is cheap, longer rows leave less padding"
    for batch in (dear, cheap):
        assert int((batch.users != PADDING).sum()) == sum(lengths)
        assert sum(lengths) / batch.token_ids.numel() > 0.85


def test_lengths_are_known_without_writing_a_prompt(prompt: PromptTokens) -> None:
    hidden = np.array([True, False, True])
    requests = [ask([0, 3, 1], [1, 3], (0, 1)), replace(ask([0, 3, 1], [2]), hidden=hidden)]
    for own in (None, np.array([7, 8, 9], dtype=np.int32)):
        written = replace(prompt, question_head=own)
        for with_head in (True, False):
            batches = [build_batch(written, [request], with_head=with_head) for request in requests]
            tokens = [int((batch.users != PADDING).sum()) for batch in batches]
            assert measure_requests(written, requests, with_head=with_head).tolist() == tokens


def test_a_question_with_a_history_of_its_own_is_another_document(prompt: PromptTokens) -> None:
    chat = replace(prompt, question_head=np.array([941], dtype=np.int32))
    batch = build_batch(chat, [ask([0], [1], (0, 1))])
    texts = [batch.token_ids[batch.users == document].tolist() for document in (0, 1)]
    assert texts == [[*HEAD, 1, SLOT, 2, *INSTRUCTION, SLOT], [941, 1, SLOT, 2, *QUESTION, 931, 51, 52, 932]]
    assert len(build_batch(chat, [ask([0], [], (0, 1))]).rec_places) == 0


def test_without_its_head_a_document_goes_on_where_the_head_ends(prompt: PromptTokens) -> None:
    request = ask([0, 3], [1, 2], (0, 1))
    whole, rest = build_batch(prompt, [request]), build_batch(prompt, [request], with_head=False)
    assert rest.token_ids[0].tolist() == whole.token_ids[0, 2:].tolist()
    assert rest.positions[0].tolist() == whole.positions[0, 2:].tolist()
    assert torch.equal(rest.attention_mask(), whole.attention_mask()[:, :, 2:])
    assert rest.prefix_length == 2


def test_only_wanted_outputs_are_asked_for(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0, 1], [1, 2], (0, 1)), ask([3], [1]), ask([2], [1])])
    size = batch.token_ids.shape[1]
    places = batch.queries + size * torch.arange(len(batch.queries))[:, None]
    assert torch.equal(places.reshape(-1)[batch.rec_queries], batch.rec_places)
    assert torch.equal(places.reshape(-1)[batch.answer_queries], batch.answer_places)


def test_hidden_pictures_leave_no_slot(prompt: PromptTokens) -> None:
    request = replace(ask([0, 1, 0], [3]), hidden=np.array([True, False, False]))
    batch = build_batch(prompt, [request])
    assert batch.token_ids[0].tolist() == [*HEAD, 1, 2, 11, 12, SLOT, 13, 1, SLOT, 2, *INSTRUCTION, SLOT]
    assert batch.slot_items.tolist() == [1, 0]


def test_a_question_needs_no_retrieval_branch(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0], [], (0, 0))])
    assert len(batch.rec_places) == 0
    assert batch.answer_tokens.tolist() == [931, 50, 932]


def test_a_batch_moves_whole(prompt: PromptTokens) -> None:
    batch = build_batch(prompt, [ask([0], [1], (0, 0))])
    moved = batch.to("meta")
    assert moved.prefix_length == batch.prefix_length
    tensors = [name for name, value in vars(batch).items() if isinstance(value, torch.Tensor)]
    assert all(getattr(moved, name).device.type == "meta" for name in tensors)


@pytest.mark.parametrize(
    ("lengths", "width", "pays"),
    [
        ([90] * 16, 4096, True),  # equal lengths: a row each, no padding, one pass to start
        ([30, 60, 90, 120, 150, 180, 210, 240], 96, True),  # a small model notices every pass
        ([30, 60, 90, 120, 150, 180, 210, 240], 1024, False),  # a large one what rows cost beside single prompts
        ([450, 600, 750, 900, 1100], 96, False),
        ([300], 512, False),
    ],
)
def test_prompts_share_a_pass_where_that_is_cheaper(lengths: list[int], width: int, pays: bool) -> None:
    assert packing_pays(lengths, width) == pays


def test_a_processor_reads_the_same_together_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    items = make_items(20)
    save_language_model(tmp_path, items, width=32, layers=2, heads=4)
    model = build_recommender(Backbone(tmp_path), items, history_limit=10, shared_width=16)
    histories = [np.arange(length) % 20 for length in (1, 3, 9, 2, 5)]
    read = {}
    for together in (True, False):
        monkeypatch.setattr("illmrec.models.recommender.packing_pays", lambda *_, answer=together: answer)
        assert [len(rows) for rows in model.plan_batches(histories, 3)] == ([3, 2] if together else [1] * 5)
        read[together] = model.represent_users(histories, 3)
    assert np.abs(read[True] - read[False]).max() < 1e-5
