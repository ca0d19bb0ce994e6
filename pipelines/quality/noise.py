"""Signs of noise in item descriptions, one Polars expression each."""

from __future__ import annotations

import polars as pl

HTML = r"(?i)</?[a-z][^<>]*>|<!--|&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});"
"""A tag, a comment or a character reference."""

WIDE_STOPS = "\u3002\uff01\uff1f"
"""Full stop, exclamation and question mark of Chinese and Japanese, which no space follows."""

FIRST_SENTENCE = rf"(?s)^(.+?)(?:[.!?]+\s|[{WIDE_STOPS}\n]|$)"
LAST_SENTENCE = rf"(?s)^(?:.*(?:[.!?]\s|[{WIDE_STOPS}\n]))?(.+)$"

MIN_SHARING_DESCRIPTIONS = 5
MIN_SHARING_SHARE = 0.01


def normalize(text: pl.Expr) -> pl.Expr:
    """Return lower-case words separated by single spaces: what is left when case and punctuation do not matter."""
    return text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()


def is_blank(text: pl.Expr) -> pl.Expr:
    """Return whether a text is null or holds neither a letter nor a digit."""
    return ~text.str.contains(r"[\p{L}\p{N}]").fill_null(value=False)


def count_words(text: pl.Expr) -> pl.Expr:
    """Return the number of words between white space; 0 for null."""
    return text.str.count_matches(r"\S+").fill_null(0)


def has_html(text: pl.Expr) -> pl.Expr:
    """Return whether a text holds an HTML tag, comment or character reference."""
    return text.str.contains(HTML).fill_null(value=False)


def has_boilerplate(descriptions: pl.Series) -> pl.Series:
    """Return whether each description opens or closes with a sentence that many other descriptions share.

    A sentence is boilerplate when at least five distinct descriptions, and at least 1% of them, open or close with it,
    case and punctuation aside. Distinct descriptions are counted, because variants of one product may share a whole
    description: that is duplication, which has a check of its own.

    Args:
        descriptions: texts, none blank.
    """
    text = pl.col("text").str.strip_chars()
    ends = pl.DataFrame({"text": descriptions}).select(
        normalize(text).alias("whole"),
        normalize(text.str.extract(FIRST_SENTENCE)).alias("first"),
        normalize(text.str.strip_chars(" \t\r\n.!?" + WIDE_STOPS).str.extract(LAST_SENTENCE)).alias("last"),
    )
    sentences = ends.unique("whole").unpivot(["first", "last"], index="whole", value_name="sentence")
    sentences = sentences.filter(pl.col("sentence") != "")
    counts = sentences.group_by("sentence").agg(pl.col("whole").n_unique().alias("sharing"))
    enough = max(float(MIN_SHARING_DESCRIPTIONS), MIN_SHARING_SHARE * ends["whole"].n_unique())
    shared = counts.filter(pl.col("sharing") >= enough)["sentence"].implode()
    return ends.select(
        (pl.col("first").is_in(shared) | pl.col("last").is_in(shared)).fill_null(value=False)
    ).to_series()
