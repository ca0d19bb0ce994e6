from __future__ import annotations

import pytest

from illmrec.data.text import MAX_CHARACTERS, clean_text


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
