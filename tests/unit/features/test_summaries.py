from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from illmrec.data.text import MAX_CHARACTERS
from illmrec.features.summarizing.extracts import (
    LONG_WORD,
    ExtractiveSummarizer,
    count_words,
    cut_words,
    split_sentences,
)

LAMP = "This is a lamp. It is blue. Brushed zinc holds the shade. It is a lamp."
POT = "This is a pot. It is blue. It is a pot."
CATALOG = [LAMP, POT, "This is a pan. It is blue. It is a pan.", "This is a cup. It is blue. It is a cup."]


def summarize(text: str, max_words: int, others: list[str] = CATALOG) -> str:
    return ExtractiveSummarizer([text, *others]).summarize(text, max_words)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n ", 0),
        ("one", 1),
        ("one  two\tthree\nfour", 4),
        ("- -", 2),
        ("x" * LONG_WORD, 1),
        ("x" * (LONG_WORD + 1), 2),
        (f"a {'x' * 10 * LONG_WORD} b", 12),
    ],
)
def test_words_are_counted_by_hand(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize("most", [1, 2, 3, 7, 11, 12, 13, 99])
def test_a_cut_text_is_the_longest_beginning_that_fits(most: int) -> None:
    text = f"one  two\n{'x' * (8 * LONG_WORD + 5)} last"
    cut = cut_words(text, most)
    assert count_words(cut) == min(most, 12)
    assert " ".join(text.split()).startswith(cut)


def test_a_word_that_is_not_long_is_never_cut() -> None:
    assert cut_words("one two three", 2) == "one two"
    assert cut_words(f"one {'x' * LONG_WORD} three", 2) == f"one {'x' * LONG_WORD}"
    assert cut_words("", 3) == ""


SENTENCES = {
    "Blue. Very blue! Is it?  It is.": ["Blue.", "Very blue!", "Is it?", "It is."],
    "Version 2.0 of www.example.org, at last": ["Version 2.0 of www.example.org, at last"],
    "It weighs approx. half a pound. Light.": ["It weighs approx. half a pound.", "Light."],
    "nice lamp. good light. buy it": ["nice lamp.", "good light.", "buy it"],
    'They say "buy it." We say (wait.) You choose.': ['They say "buy it."', "We say (wait.)", "You choose."],
    "First line\n\n  second   line\r\nThird": ["First line", "second line", "Third"],
    "商品です。送料無料です\uff01買う\uff1f": ["商品です。", "送料無料です\uff01", "買う\uff1f"],
    "यह एक दीपक है। यह नीला है।": ["यह एक दीपक है।", "यह नीला है।"],
    "Wow!!! Great...": ["Wow!!!", "Great..."],
    "no end": ["no end"],
    "": [],
    " . ": ["."],
}


@pytest.mark.parametrize("text", SENTENCES)
def test_sentences_end_where_a_reader_would_end_them(text: str) -> None:
    assert split_sentences(text) == SENTENCES[text]


def test_the_sentence_that_says_most_comes_with_the_first() -> None:
    # Words in all four texts weigh 0, "lamp" in one of four log(5/2)/log 5 = 0.57, as do the words about zinc.
    # This is a lamp: 0.57/4 + 0.5 = 0.64. It is blue: 0.25. Brushed zinc holds the shade: 0.57 + 0.17 = 0.74.
    # It is a lamp: 0.57/4 + 0.13 = 0.27.
    summarizer = ExtractiveSummarizer(CATALOG)
    rare = math.log(5 / 2) / math.log(5)
    scores = [
        summarizer._score(0, ["this", "is", "a", "lamp"]),
        summarizer._score(1, ["it", "is", "blue"]),
        summarizer._score(2, ["brushed", "zinc", "holds", "the", "shade"]),
        summarizer._score(3, ["it", "is", "a", "lamp"]),
    ]
    assert scores == pytest.approx([rare / 4 + 0.5, 0.25, rare + 0.5 / 3, rare / 4 + 0.125])
    assert summarizer.summarize(LAMP, 5) == "Brushed zinc holds the shade."
    assert summarizer.summarize(LAMP, 9) == "This is a lamp. Brushed zinc holds the shade.", "in the order of the text"
    assert summarizer.summarize(LAMP, 12) == "This is a lamp. It is blue. Brushed zinc holds the shade.", "what fits"
    assert summarizer.summarize(LAMP, 99) == LAMP


def test_what_other_texts_say_decides_what_is_rare() -> None:
    text = "It is a lamp of blown glass. It is sold by a shop. It has a cord of woven silk."
    about_shop = ["It is sold by a shop.", "A pan. It is sold by a shop.", "A cup. It is sold by a shop."]
    about_silk = ["It has a cord of woven silk.", "A pan. It has a cord of woven silk.", "A cup of woven silk cord."]
    assert summarize(text, 14, about_shop) == "It is a lamp of blown glass. It has a cord of woven silk."
    assert summarize(text, 14, about_silk) == "It is a lamp of blown glass. It is sold by a shop."


def test_equal_texts_count_once() -> None:
    variants = ExtractiveSummarizer([*CATALOG, *[LAMP] * 50])
    assert variants._weights == ExtractiveSummarizer(CATALOG)._weights


def test_where_nothing_tells_sentences_apart_the_earlier_comes_first() -> None:
    text = "One two three four. Five six seven eight. Nine ten eleven twelve."
    assert summarize(text, 4, []) == "One two three four."
    assert summarize(text, 8, []) == "One two three four. Five six seven eight."
    assert summarize("--- !!! ??? ...", 1, []) == "---"
    assert summarize("?! !! ...", 1, []) == "?!"


def test_a_sentence_longer_than_the_summary_is_cut_at_its_end() -> None:
    text = "A lamp of hand blown glass on a foot of oak, with a cord of woven silk and a switch."
    assert summarize(text, 7) == "A lamp of hand blown glass on"
    assert summarize(f"Wow! {text}", 7) == "A lamp of hand blown glass on", "an exclamation that fits says less"


def test_a_text_without_sentence_ends_is_cut() -> None:
    assert summarize("steel pan large kitchen oven safe", 4) == "steel pan large kitchen"
    assert summarize("steel pan", 4) == "steel pan"


def test_a_repeated_sentence_is_told_once() -> None:
    assert summarize("Hand made. HAND MADE! Of oak. Hand made.", 40) == "Hand made. Of oak."


def test_numbers_and_marks_say_nothing_about_an_item() -> None:
    text = "Lamp. 8837 1192 0045 1190 7734. Brushed zinc holds it up. *** ### --- !!!"
    assert summarize(text, 6) == "Lamp. Brushed zinc holds it up."


def test_sentences_of_languages_without_spaces_are_joined_without() -> None:
    text = "商品です。送料無料です。"
    assert summarize(text, 40) == text


def test_there_is_a_summary_of_every_text_that_is_not_blank() -> None:
    assert [summarize(text, 3) for text in ("", "  ", "\n")] == ["", "", ""]
    assert [summarize(text, 3) for text in ("!", ". .", "42", "x")] == ["!", ".", "42", "x"]


def test_one_text_alone_and_no_text_at_all() -> None:
    assert ExtractiveSummarizer([LAMP]).summarize(LAMP, 4) == "This is a lamp."
    assert ExtractiveSummarizer([]).summarize(LAMP, 5) == "This is a lamp.", "all words are new"
    assert ExtractiveSummarizer(["", ""]).summarize("", 5) == ""


HOSTILE = {
    "no sentence end": "word " * 200_000,
    "one word": "a" * 1_000_000,
    "exclamation marks": "!" * 1_000_000,
    "spaced exclamation marks": "! " * 500_000,
    "short sentences": "a. " * 333_333,
    "wide stops": "。" * 1_000_000,
    "a gap": "a." + " " * 1_000_000 + "b",
    "line ends": "\n" * 999_999 + "a",
    "stops and quotes": '."' * 500_000,
    "all different": " ".join(f"w{number}. W" for number in range(100_000)),
    "brackets": "([{" * 300_000,
    "combining marks": "e" + "\u0301" * 1_000_000,
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("max_words", [1, 40])
def test_a_megabyte_of_anything_gives_a_bounded_summary(case: str, max_words: int) -> None:
    text = HOSTILE[case]
    summary = summarize(text, max_words)
    assert count_words(summary) <= max_words
    assert len(summary.split()) <= max_words
    assert len(summary) <= max_words * (LONG_WORD + 1)
    assert bool(summary) == bool(text[:MAX_CHARACTERS].strip())
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split()), "no character is lost"
    assert "".join(text.split()).startswith("".join(cut_words(text, max_words).split()))


def test_only_the_beginning_of_a_text_is_looked_at() -> None:
    end = "end. Quartz inlay runs around."
    assert "Quartz" in summarize("so " * 40 + end, 40)
    assert "Quartz" not in summarize("so " * (MAX_CHARACTERS // 3) + end, 40)


def test_summaries_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "from illmrec.features.summarizing.extracts import ExtractiveSummarizer as E\n"
        "words = [f'w{n * n % 97}' for n in range(600)]\n"
        "parts = [words[k:k + 9 + k % 40] for k in range(60)]\n"
        "texts = [' '.join(w + '. W' * (n % 5 == 0) for n, w in enumerate(part)) for part in parts]\n"
        "e = E(texts)\n"
        "said = [t.lower().replace('.', '').split() for t in texts]\n"
        "print([e.summarize(t, 12) for t in texts], [e._score(0, words).hex() for words in said])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, cwd=Path(__file__).parents[3],
            capture_output=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000
