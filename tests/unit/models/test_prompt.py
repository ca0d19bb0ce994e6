from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from illmrec.columns import ITEMS
from illmrec.models import templates
from illmrec.models.batch import build_inference_batch
from illmrec.models.prompt import NO_SLOT, SLOT, PromptForm, PromptTokens, tokenize_prompt

BEGIN, END = 1, 2
ROWS = [
    ("a", "blue lamp", "Wolt", ["Home", "Light"], "A lamp for the desk.", "a.png", "ok"),
    ("b", "pan", "", ["Kitchen"], "A flat pan that lasts.", "", "missing"),
    ("c", "", "", [], "", "c.png", "ok"),
    ("d", "", "", [], "", "", "missing"),
    ("e", "shoe " * 30, "B" * 40, ["x" * 40], "word " * 100, "e.png", "ok"),
]
ITEM_TABLE = pl.DataFrame(ROWS, schema=ITEMS, orient="row")
HAS_IMAGE = np.array([True, False, True, False, True])


def tokenize(texts: list[str]) -> list[list[int]]:
    """One token per character, away from 0, 1 and 2."""
    return [[ord(character) + 10 for character in text] for text in texts]


def read(tokens: np.ndarray) -> str:
    return "".join({SLOT: "#", BEGIN: "^", END: "$"}.get(int(token)) or chr(int(token) - 10) for token in tokens)


def write(
    begin: tuple[int, ...] = (BEGIN,),
    end: tuple[int, ...] = (END,),
    items: pl.DataFrame = ITEM_TABLE,
    **form: object,
) -> PromptTokens:
    limits = {"title_tokens": 25, "description_tokens": 50}
    summaries = ["lamp", "flat pan", "", "", "words"]
    return tokenize_prompt(
        items, HAS_IMAGE, tokenize, PromptForm(**(limits | form)), begin=begin, end=end, summaries=summaries
    )


@pytest.fixture(scope="module")
def prompt() -> PromptTokens:
    return write()


def test_an_item_is_its_title_and_one_slot(prompt: PromptTokens) -> None:
    assert read(prompt.items[0]) == "Title: blue lamp Image: #\n"
    assert prompt.items[0][prompt.slot_starts[0]] == SLOT
    assert (prompt.items[0] == SLOT).sum() == 1


def test_without_a_picture_the_description_stands_in_its_place(prompt: PromptTokens) -> None:
    assert read(prompt.items[1]) == "Title: pan Image: A flat pan that lasts.\n"
    assert prompt.slot_starts[1] == NO_SLOT
    assert SLOT not in prompt.items[1]


def test_items_without_any_text_are_still_there(prompt: PromptTokens) -> None:
    assert read(prompt.items[2]) == f"Title: {templates.UNTITLED} Image: #\n"
    assert read(prompt.items[3]) == f"Title: {templates.UNTITLED} Image: \n"
    assert prompt.slot_starts.tolist() == [24, NO_SLOT, 38, NO_SLOT, 40]


def test_long_texts_are_cut_to_their_limits(prompt: PromptTokens) -> None:
    assert read(prompt.items[4]) == "Title: " + ("shoe " * 30)[:25] + " Image: #\n"
    assert prompt.properties["description"].lengths.max() == 50
    assert max(prompt.properties[name].lengths.max() for name in ("title", "brand", "category")) == 50


def test_a_history_reads_as_the_paper_has_it(prompt: PromptTokens) -> None:
    assert read(prompt.head) == "^" + templates.TASK
    assert read(prompt.instruction) == templates.INSTRUCTION


def test_the_instruction_can_stand_before_the_history() -> None:
    first = write(instruction="before_history")
    assert read(first.head) == "^" + templates.TASK + templates.INSTRUCTION
    assert len(first.instruction) == 0
    batch = build_inference_batch(first, [np.array([0, 1], dtype=np.int32)])
    written = read(batch.token_ids[0].numpy())
    assert written == "^" + templates.TASK + templates.INSTRUCTION + read(first.items[0]) + read(first.items[1]) + "#"
    assert batch.rec_places.tolist() == [len(written) - 1]


def test_a_tokenizer_without_begin_and_end_adds_nothing() -> None:
    bare = write(begin=(), end=())
    assert read(bare.head) == templates.TASK
    assert read(bare.write_answer(0, 0)) == "The brand likely to be consumed is 'Wolt'"


def test_twenty_templates_five_a_property() -> None:
    assert Counter(name for name, _, _ in templates.ALIGNMENT) == dict.fromkeys(templates.PROPERTIES, 5)
    assert len({question for _, question, _ in templates.ALIGNMENT}) == 20
    assert all(answer.count("{}") == 1 and "{" not in question for _, question, answer in templates.ALIGNMENT)
    assert templates.ALIGNMENT[0] == (
        "brand",
        "What brand is this user likely to consume next? ",
        "The brand likely to be consumed is '{}'",
    )


def test_questions_and_answers_are_those_of_the_templates(prompt: PromptTokens) -> None:
    values = {"brand": "Wolt", "category": "Home > Light", "title": "blue lamp", "description": "A lamp for the desk."}
    for number, (name, question, answer) in enumerate(templates.ALIGNMENT):
        assert read(prompt.questions[number]) == question
        assert read(prompt.write_answer(number, 0)) == answer.replace("{}", values[name]) + "$"


def test_only_properties_an_item_has_are_asked_for(prompt: PromptTokens) -> None:
    def asked(item: int) -> set[str]:
        numbers = prompt.answerable_templates(item)
        assert len(numbers) == 5 * len({templates.ALIGNMENT[number][0] for number in numbers})
        return {templates.ALIGNMENT[number][0] for number in numbers}

    assert asked(0) == {"brand", "category", "title", "description"}
    assert asked(1) == {"category", "title", "description"}
    assert asked(2) == asked(3) == set()


def test_every_constant_text_is_known_to_a_tokenizer_trained_on_the_spot() -> None:
    texts = " ".join(templates.all_prompt_texts())
    for text in (templates.TASK, templates.INSTRUCTION, templates.UNTITLED):
        assert text in texts
    assert all(question in texts and answer in texts for _, question, answer in templates.ALIGNMENT)


def test_each_representation_writes_what_it_is_named_after() -> None:
    about = " Description: A lamp for the desk."
    expected = {
        "image": "Title: blue lamp Image: #\n",
        "image+description": f"Title: blue lamp Image: #{about}\n",
        "attribute": "Title: blue lamp Brand: Wolt Category: Home > Light\n",
        "cf": "Title: blue lamp Taste: #\n",
        "summary": "Title: blue lamp Description: lamp\n",
        "description": f"Title: blue lamp{about}\n",
        "title": "Title: blue lamp\n",
    }
    assert {name: read(write(representation=name).items[0]) for name in expected} == expected


def test_missing_pictures_are_written_as_asked_and_hidden_ones_alike() -> None:
    expected = {"description": "Title: pan Image: A flat pan that lasts.\n", "drop": "Title: pan\n", "feature": "#"}
    for policy, text in expected.items():
        written = write(missing_image=policy)
        assert read(written.items[1]) == ("Title: pan Image: #\n" if policy == "feature" else text)
        if policy != "feature":
            assert read(written.bare_items[1]) == text
    assert read(write().bare_items[0]) == "Title: blue lamp Image: A lamp for the desk.\n"
    # Where the description stands there anyway, it is not said twice.
    both = write(representation="image+description")
    assert read(both.items[1]) == read(both.bare_items[1]) == "Title: pan Description: A flat pan that lasts.\n"


def test_no_item_is_left_out_of_a_history_without_titles() -> None:
    alone = {"title_tokens": 0, "item_marks": "none"}
    written = write(**alone)
    assert [read(written.items[item]) for item in range(4)] == ["#", "A flat pan that lasts.", "#", "#"]
    assert written.can_hide.tolist() == [True, True, False, False, True]
    silent = ITEM_TABLE.with_columns(description=pl.lit(""))
    assert read(write(items=silent, **alone).items[1]) == "pan", "a title stands for the description"
    nameless = silent.with_columns(title=pl.lit(""))
    assert read(write(items=nameless, **alone).items[1]) == "Kitchen"
    assert read(write(missing_image="drop", **alone).items[3]) == "", "as asked"


def test_a_picture_can_be_several_tokens_and_a_title_none() -> None:
    written = write(image_tokens=3, title_tokens=0)
    assert read(written.items[0]) == " Image: ###\n"
    assert written.slot_starts.tolist()[0] == 8
    batch = build_inference_batch(written, [np.array([0, 2], dtype=np.int32)])
    assert len(batch.slot_places) == 6
    assert batch.slot_items.tolist() == [0, 2]
    assert (batch.token_ids[0, batch.slot_places] == SLOT).all()
    assert read(written.properties["title"][0]) == "blue lamp", "a title may still be asked for"


def test_a_chat_asks_in_a_turn_of_its_own() -> None:
    written = write(alignment_prompt="chat")
    assert read(written.head) == "^" + templates.TASK
    assert written.question_head is not None
    assert read(written.question_head) == "^USER: " + templates.TASK
    assert read(written.questions[0]) == templates.ALIGNMENT[0][1] + " ASSISTANT: "
