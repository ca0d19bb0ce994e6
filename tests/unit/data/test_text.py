from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from illmrec.data.text import MAX_CHARACTERS, clean_text, clean_texts

# Parts that meet in many ways: tags within tags, endings without beginnings, entities, all kinds of white space.
PARTS = [
    "<",
    ">",
    "</",
    "p",
    "br",
    "b",
    "script",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<!d",
    "<?",
    "style",
    "&",
    "amp;",
]
PARTS += [
    "&lt;",
    "&gt;",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\x0b",
    "\x1f",
    "\x7f",
    "a",
    "B ",
    "é",
    "\u0301",
    "\u200b",
    "猫",
    "=",
    "/",
]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (None, ""),
        ("", ""),
        ("  Knee\n\tBlanket\u00a0, Set ", "Knee Blanket , Set"),
        ("Salt &amp; pepper", "Salt & pepper"),
        ("caf&eacute; &#39;x&#39;", "café 'x'"),
        ("<p>One</p><p>Two<br/>Three</p>", "One Two Three"),
        ("<b>bo</b>ld", "bold"),
        ("<a href='x' onclick=\"y\">link</a>", "link"),
        ("&lt;p&gt;One&lt;/p&gt;", "One"),
        ("&amp;lt;b&amp;gt;One&amp;lt;/b&amp;gt;", "One"),
        ("a<script>alert('<b>')</script>b", "a b"),
        ("a<SCRIPT src=x>1 < 2</SCRIPT >b", "a b"),
        ("a<style>p {}</style>b<!-- c > d -->e", "a b e"),
        ("kept <script>never closed", "kept"),
        ("5 < 6 and 7 > 3, <3 hearts", "5 < 6 and 7 > 3, <3 hearts"),
        ("if a &lt; b and c &gt; d", "if a < b and c > d"),
        ("zero\u200bwidth\ufeff so\u00adft \u202eright", "zerowidth soft right"),
        ("bell\x07 nul\x00 esc\x1b[31m", "bell nul esc[31m"),
        ("half \ud83d surrogate", "half surrogate"),
        ("e\u0301", "\u00e9"),
        ("猫のカフェ 😂", "猫のカフェ 😂"),
        ("{{ 7 * 7 }} ${HOME} =SUM(A1)", "{{ 7 * 7 }} ${HOME} =SUM(A1)"),
    ],
)
def test_texts_come_out_as_plain_words(raw: str | None, clean: str) -> None:
    assert clean_text(raw) == clean
    assert clean_text(clean) == clean


def test_length_is_bounded() -> None:
    assert len(clean_text("word " * MAX_CHARACTERS)) <= MAX_CHARACTERS


@pytest.mark.parametrize("bomb", ["<script", "</script", "<!--", "<script></script", "<a ", "&amp;" * 3, "<", "</p"])
def test_hostile_text_is_bounded_before_it_is_searched(bomb: str) -> None:
    # Quadratic searches would take hours here.
    assert len(clean_text(bomb * 1_000_000)) <= MAX_CHARACTERS


@given(st.lists(st.lists(st.sampled_from(PARTS), max_size=12).map("".join), max_size=8))
def test_a_column_is_cleaned_as_its_texts_one_by_one(texts: list[str]) -> None:
    column = pl.Series("title", [*texts, None, *texts], dtype=pl.String)
    cleaned = clean_texts(column)
    assert cleaned.name == "title"
    assert cleaned.to_list() == [clean_text(text) for text in column]


def test_long_texts_of_a_column_are_bounded() -> None:
    texts = ["word " * MAX_CHARACTERS, "<p" * MAX_CHARACTERS, "<b>" * (MAX_CHARACTERS // 3 + 9)]
    assert clean_texts(pl.Series(texts)).to_list() == [clean_text(text) for text in texts]
