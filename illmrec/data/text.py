"""Cleaning catalog texts: markup out, invisible characters out, one form of Unicode, bounded length."""

from __future__ import annotations

import html
import re
import unicodedata

import polars as pl

MAX_CHARACTERS = 20_000
"""Longest cleaned text; no encoder here reads more."""

MAX_RAW_CHARACTERS = 10 * MAX_CHARACTERS
"""Longest raw text looked at, which bounds the time a hostile text can take."""

ROUNDS = 3
"""Entities may be escaped twice or hold tags, so both steps repeat until nothing changes, at most this often."""

_HIDDEN_OPENING = re.compile(r"<(script|style)\b|<!--", re.IGNORECASE)
_HIDDEN_ENDING = {
    "script": re.compile(r"</script[^<>]*>", re.IGNORECASE),
    "style": re.compile(r"</style[^<>]*>", re.IGNORECASE),
    None: re.compile(r"-->"),
}
_BREAKING_TAG = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|option)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>|<\?[^<>]*>")
_NOT_SIMPLE = r"(?i)[^\t\n\r -~]|&|<script|<style|<!--"
_INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cs", "Co"}


def clean_texts(raw: pl.Series) -> pl.Series:
    """Return :func:`clean_text` of each text, null as the empty text.

    Most texts of a catalog are plain ASCII with a few tags at most. Those are cleaned by expressions, all at once; each
    different one of the others by :func:`clean_text`.
    """
    text = pl.col("text")
    table = pl.DataFrame({"text": raw.fill_null("")})
    simple = ~text.str.contains(_NOT_SIMPLE) & (text.str.len_bytes() <= MAX_CHARACTERS)
    untagged = text.str.replace_all(f"(?i){_BREAKING_TAG.pattern}", " ").str.replace_all(_TAG.pattern, "")
    cleaned = pl.when(text.str.contains("<", literal=True)).then(untagged).otherwise(text)
    table = table.with_columns(clean=pl.when(simple).then(_collapse_all(cleaned)))
    # A tag may hold another, which only shows when the inner one is gone.
    hard = pl.col("clean").is_null() | pl.col("clean").str.contains("<", literal=True)
    others = table.filter(hard)["text"].unique(maintain_order=True)
    known = pl.DataFrame({"text": others, "careful": pl.Series(map(clean_text, others), dtype=pl.String)})
    joined = table.join(known, on="text", how="left", maintain_order="left")
    return joined.select(pl.coalesce("careful", "clean")).to_series().alias(raw.name)


def _collapse_all(text: pl.Expr) -> pl.Expr:
    """Return :func:`_collapse` of texts whose only white space is what plain ASCII has."""
    return text.str.replace_all(r"[\t\n\r]", " ").str.replace_all("  +", " ").str.strip_chars(" ")


def clean_text(raw: str | None) -> str:
    """Return a catalog text as plain words on one line; an empty string for None.

    Removes scripts, styles, comments and tags; unescapes entities; removes control, zero-width, direction and unpaired
    surrogate characters; collapses white space; normalises to NFC; cuts at :data:`MAX_CHARACTERS`.
    """
    if not raw:
        return ""
    text = raw[:MAX_RAW_CHARACTERS]
    if "<" in text or "&" in text:
        text = _remove_markup(text)
    text = _collapse(text)
    if not (text.isascii() and text.isprintable()):
        text = "".join(c for c in text if c.isprintable() or unicodedata.category(c) not in _INVISIBLE_CATEGORIES)
        text = _collapse(unicodedata.normalize("NFC", text))
    return text[:MAX_CHARACTERS].rstrip()


def _collapse(text: str) -> str:
    """Return a text with single spaces; faster than a substitution for white space."""
    return " ".join(text.split())


def _remove_markup(text: str) -> str:
    for _ in range(ROUNDS):
        before = text
        if "<" in text:
            text = _TAG.sub("", _BREAKING_TAG.sub(" ", _remove_hidden(text)))
        text = html.unescape(text)
        if text == before:
            break
    return text


def _remove_hidden(text: str) -> str:
    """Remove scripts, styles and comments; one that never ends takes the rest of the text with it, as in a browser."""
    parts: list[str] = []
    start = 0
    while opening := _HIDDEN_OPENING.search(text, start):
        parts.append(text[start : opening.start()])
        name = opening.group(1)
        ending = _HIDDEN_ENDING[name.lower() if name else None].search(text, opening.end())
        if ending is None:
            return " ".join(parts)
        start = ending.end()
    return " ".join([*parts, text[start:]])
