from __future__ import annotations

import polars as pl
import pytest

from pipelines.quality import noise


def judge(expression, *texts: str | None) -> list:
    return (
        pl.DataFrame({"text": texts}, schema={"text": pl.String})
        .select(expression(pl.col("text")))
        .to_series()
        .to_list()
    )


@pytest.mark.parametrize(
    "text",
    [
        "a <b>bold</b> word",
        "<br/>",
        "</DIV>",
        "<!-- hidden",
        "salt &amp; pepper",
        "caf&#233;",
        "caf&#xE9;",
        "&lt;p&gt;",
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
    ],
)
def test_html_is_seen(text: str) -> None:
    assert judge(noise.has_html, text) == [True]


@pytest.mark.parametrize("text", ["width < 5 cm and > 2 cm", "R&D; more", "AT&T", "a <3 b", "fish & chips; salt", ""])
def test_plain_text_is_not_html(text: str) -> None:
    assert judge(noise.has_html, text) == [False]


def test_blank_texts_hold_neither_letters_nor_digits() -> None:
    assert judge(noise.is_blank, None, "", " \t\n", "\u200b", "--- !", "a", "7", "\u670d") == [True] * 5 + [False] * 3


def test_words_are_counted_between_white_space() -> None:
    assert judge(noise.count_words, None, "", "  one  ", "one two\nthree") == [0, 0, 1, 3]


def find_boilerplate(*texts: str) -> list[bool]:
    return noise.has_boilerplate(pl.Series("description", texts, pl.String)).to_list()


def test_a_closing_sentence_of_five_descriptions_is_boilerplate() -> None:
    texts = [f"Item {name} is good. Ships worldwide, for free!" for name in "abcde"]
    assert find_boilerplate(*texts, "Nothing in common here.") == [True] * 5 + [False]


def test_four_descriptions_are_too_few() -> None:
    assert not any(find_boilerplate(*(f"Item {name} is good. Ships worldwide." for name in "abcd")))


def test_an_opening_sentence_is_found_whatever_its_case_and_punctuation() -> None:
    starts = ["Brand new!", "BRAND NEW.", "brand  new?", "Brand-new.", "Brand new.\n"]
    texts = [f"{start} Item {index} is good." for index, start in enumerate(starts)]
    assert all(find_boilerplate(*texts))


def test_a_decimal_point_does_not_end_a_sentence() -> None:
    assert not any(find_boilerplate(*(f"Size 3.5 inch {name}" for name in "abcde")))


def test_sentences_without_spaces_between_them_are_split_at_wide_stops() -> None:
    assert all(find_boilerplate(*(f"\u6b22\u8fce\u3002{name}" for name in "abcde")))


def test_equal_descriptions_are_duplicates_not_boilerplate() -> None:
    assert not any(find_boilerplate(*["The same words. Again."] * 20))


def test_boilerplate_needs_one_percent_of_the_descriptions() -> None:
    shared = [f"Only {index} here. Thanks for looking." for index in range(5)]
    others = [f"Item {index} says {index}." for index in range(1000)]
    assert sum(find_boilerplate(*shared, *others[:400])) == 5
    assert sum(find_boilerplate(*shared, *others)) == 0


def test_no_descriptions_give_no_flags() -> None:
    assert find_boilerplate() == []
