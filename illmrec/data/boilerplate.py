"""Boilerplate in descriptions: sentences with which the texts of many items open or close.

Shipping terms, shop names and brand slogans say nothing about an item, yet fill the tokens that a language model reads
and draw the features of unrelated texts together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

MIN_TEXTS = 5
"""Fewest different texts that share a sentence before it can be boilerplate, however small the catalog."""

MAX_SENTENCE = 400
"""Longest sentence, in characters, that is looked at."""

ROUNDS = 5
"""A text may open or close with several such sentences; at most this many are removed from each end."""

_BREAK = re.compile(r"[.!?]\s+|[\u3002\uff01\uff1f]")  # the first character ends the sentence
_NO_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Trimmed:
    """Texts without boilerplate.

    Attributes:
        texts: as many as were given, in the same order.
        changed: how many of them lost a sentence.
        sentences: the sentences removed, in lower case without punctuation, sorted.
    """

    texts: list[str]
    changed: int
    sentences: tuple[str, ...]


def remove_boilerplate(texts: Sequence[str], *, min_share: float, min_words: int) -> Trimmed:
    """Remove sentences that open or close many different texts.

    Equal texts count once, because variants of one product may share a whole description. No text is emptied: its last
    sentence stays, whatever it is.

    Args:
        texts: cleaned descriptions, empty ones included.
        min_share: share of the different texts that must open or close with a sentence, at least five of them.
        min_words: shorter sentences stay; "Fully lined." is said of many items because it is so.
    """
    rest = {text: text for text in texts if text}
    least = max(MIN_TEXTS, min_share * len(rest))
    removed: set[str] = set()
    for _ in range(ROUNDS):
        keys = _find_keys(list(rest.values()))
        shared = _list_shared(keys, least, min_words)
        shorter = _trim_all(rest, keys, shared, removed) if shared else rest
        if shorter == rest:
            break
        rest = shorter
    trimmed = [rest.get(text, text) for text in texts]
    changed = sum(before != after for before, after in zip(texts, trimmed, strict=True))
    return Trimmed(trimmed, changed, tuple(sorted(removed)))


def _find_keys(texts: list[str]) -> pl.DataFrame:
    """Return ``first`` and ``last``: the keys of each text's first and last sentence.

    Most texts are plain ASCII and are read by expressions, all at once; the others by :func:`_key`, one by one.
    """
    text, head, tail = pl.col("text"), pl.col("text").str.head(MAX_SENTENCE), pl.col("text").str.tail(MAX_SENTENCE)
    first = head.str.extract(r"(?s)^(.*?[.!?])\s").fill_null(head)
    last = tail.str.extract(r"(?s)^.*[.!?]\s+(.+)$").fill_null(tail)
    table = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).with_row_index("row")
    plain = text.str.len_bytes() == text.str.len_chars()
    ascii_keys = table.filter(plain).select("row", first=_name_key(first), last=_name_key(last))
    others = table.filter(~plain)
    keys = [(_key(_open(text)), _key(_close(text))) for text in others["text"]]
    other_keys = pl.DataFrame(
        {"row": others["row"], "first": [key for key, _ in keys], "last": [key for _, key in keys]},
        schema=ascii_keys.schema,
    )
    return pl.concat([ascii_keys, other_keys]).sort("row").select("first", "last")


def _name_key(sentence: pl.Expr) -> pl.Expr:
    """Return :func:`_key` of plain ASCII sentences as an expression.

    In two steps, because most that stands between words is a single space, which the first leaves alone.
    """
    words = sentence.str.to_lowercase().str.replace_all("[^a-z0-9 ]+", " ")
    return words.str.replace_all("  +", " ").str.strip_chars(" ")


def _list_shared(keys: pl.DataFrame, least: float, min_words: int) -> set[str]:
    """Return the keys with which at least ``least`` texts open or close; a text counts once for each."""
    once = pl.concat([keys.select(key="first"), keys.filter(pl.col("first") != pl.col("last")).select(key="last")])
    many = once.group_by("key").len().filter(pl.col("len") >= least)
    return {key for key in many["key"] if len(key.split()) >= min_words}


def _trim_all(rest: dict[str, str], keys: pl.DataFrame, shared: set[str], removed: set[str]) -> dict[str, str]:
    """Cut shared sentences off the texts that open or close with one; add what was cut to ``removed``."""
    wanted = list(shared)
    touched = keys.select(pl.col("first").is_in(wanted) | pl.col("last").is_in(wanted)).to_series().to_list()
    return {
        text: _trim(left, shared, removed) if hit else left
        for (text, left), hit in zip(rest.items(), touched, strict=True)
    }


def _trim(text: str, shared: set[str], removed: set[str]) -> str:
    for find, cut in ((_open, str.removeprefix), (_close, str.removesuffix)):
        sentence = find(text)
        if len(sentence) < len(text) and (key := _key(sentence)) in shared:
            removed.add(key)
            text = cut(text, sentence).strip()
    return text


def _open(text: str) -> str:
    """Return the first sentence, or the beginning of a long one, which no other text is likely to share."""
    end = _BREAK.search(text, 0, MAX_SENTENCE)
    return text[: end.start() + 1] if end else text[:MAX_SENTENCE]


def _close(text: str) -> str:
    """Return the last sentence, or the end of a long one."""
    tail = text[-MAX_SENTENCE:]
    ends = [found.end() for found in _BREAK.finditer(tail) if found.end() < len(tail)]
    return tail[ends[-1] :] if ends else tail


def _key(sentence: str) -> str:
    """Return the words of a sentence in lower case."""
    return _NO_WORD.sub(" ", sentence.casefold()).strip()
