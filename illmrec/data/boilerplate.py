"""Boilerplate in descriptions: sentences with which the texts of many items open or close.

Shipping terms, shop names and brand slogans say nothing about an item, yet fill the tokens that a language model reads
and draw the features of unrelated texts together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MIN_TEXTS = 5
"""Fewest different texts that share a sentence before it can be boilerplate, however small the catalog."""

MAX_SENTENCE = 400
"""Longest sentence, in characters, that is looked at."""

ROUNDS = 5
"""A text may open or close with several such sentences; at most this many are removed from each end."""

_BREAK = re.compile(r"[.!?]\s+|[\u3002\uff01\uff1f]")  # the first character ends the sentence
_NO_WORD = re.compile(r"[\W_]+")
_ASCII_NO_WORD = {code: " " for code in range(128) if not chr(code).isalnum()}


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
        counts = Counter(key for text in rest.values() for key in {_key(_open(text)), _key(_close(text))})
        shared = {key for key, count in counts.items() if count >= least and len(key.split()) >= min_words}
        shorter = {text: _trim(left, shared, removed) for text, left in rest.items()} if shared else rest
        if shorter == rest:
            break
        rest = shorter
    trimmed = [rest.get(text, text) for text in texts]
    changed = sum(before != after for before, after in zip(texts, trimmed, strict=True))
    return Trimmed(trimmed, changed, tuple(sorted(removed)))


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
    """Return the words of a sentence in lower case; two paths to the same, as most sentences are plain ASCII."""
    if sentence.isascii():
        return " ".join(sentence.lower().translate(_ASCII_NO_WORD).split())
    return _NO_WORD.sub(" ", sentence.casefold()).strip()
