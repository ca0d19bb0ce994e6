from __future__ import annotations

import pytest

from illmrec.data.boilerplate import MAX_SENTENCE, Trimmed, remove_boilerplate

OPENING, CLOSING = "Welcome to the big shop!", "We ship within one day."


def trim(texts: list[str], min_share: float = 0.01, min_words: int = 4) -> Trimmed:
    return remove_boilerplate(texts, min_share=min_share, min_words=min_words)


def describe(n: int) -> str:
    return f"Item number {n} is new. It has {n} parts."


def test_shared_first_and_last_sentences_go_and_the_rest_stays() -> None:
    texts = [f"{OPENING} {describe(n)} {CLOSING}" for n in range(6)] + ["", describe(99)]
    result = trim(texts)
    assert result.texts == [*map(describe, range(6)), "", describe(99)]
    assert result.changed == 6
    assert result.sentences == ("we ship within one day", "welcome to the big shop")


def test_case_and_punctuation_do_not_matter() -> None:
    forms = ["We ship within one day.", "WE SHIP WITHIN ONE DAY!", "We ship, within one day"]
    texts = [f"{describe(n)} {forms[n % 3]}" for n in range(6)]
    assert trim(texts).texts == [*map(describe, range(6))]


def test_several_in_a_row_are_peeled_off() -> None:
    texts = [f"{describe(n)} No returns after two weeks. {CLOSING}" for n in range(6)]
    assert trim(texts).texts == [*map(describe, range(6))]


def test_four_texts_are_too_few_and_so_is_a_small_share() -> None:
    few = [f"{describe(n)} {CLOSING}" for n in range(4)] + [describe(n) for n in range(4, 50)]
    assert trim(few).texts == few
    assert trim([f"{few[0]}", *few]).changed == 0  # equal texts count once
    some = [f"{describe(n)} {CLOSING}" for n in range(6)] + [describe(n) for n in range(6, 100)]
    assert trim(some, min_share=0.05).changed == 6
    assert trim(some, min_share=0.07).changed == 0


def test_short_sentences_stay() -> None:
    texts = [f"{describe(n)} Fully lined." for n in range(9)]
    assert trim(texts).changed == 0
    assert trim(texts, min_words=2).changed == 9


def test_no_text_is_emptied() -> None:
    texts = [f"{describe(n)} {CLOSING}" for n in range(6)] + [CLOSING, f"{OPENING} {CLOSING}"]
    assert trim(texts).texts[-2:] == [CLOSING, OPENING]


def test_wide_stops_end_sentences() -> None:
    texts = [f"商品番号{n}です。送 料 無 料 です。" for n in range(6)]
    assert trim(texts).texts == [f"商品番号{n}です。" for n in range(6)]


@pytest.mark.parametrize("text", ["a" * 1_000_000, "a. " * 300_000, "!" * 1_000_000, ". " * 500_000])
def test_long_texts_take_no_time(text: str) -> None:
    assert trim([text, *(f"{n} {text}" for n in range(5))]).changed in (0, 5, 6)
    assert len(text) > MAX_SENTENCE
