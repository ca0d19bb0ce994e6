"""The plain way to clean item texts and to drop boilerplate: re, html.unescape and a Counter, a text at a time.

The rules are those of :mod:`illmrec.data.text` and :mod:`illmrec.data.boilerplate`, written anew.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter

LONGEST = 20_000
ROUNDS, BOILERPLATE_ROUNDS = 3, 5
LONGEST_SENTENCE = 400
FEWEST = 5

HIDDEN = re.compile(
    r"<script\b.*?(?:</script[^<>]*>|\Z)|<style\b.*?(?:</style[^<>]*>|\Z)|<!--.*?(?:-->|\Z)", re.IGNORECASE | re.DOTALL
)
BREAKING = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|option)\b[^<>]*>", re.IGNORECASE)
TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<![a-zA-Z][^<>]*>|<\?[^<>]*>")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])")
NO_WORD = re.compile(r"[\W_]+")


def clean_plainly(text: str) -> str:
    """Return a text without markup and invisible characters, on one line."""
    text = text[: 10 * LONGEST]
    for _ in range(ROUNDS):
        before = text
        text = html.unescape(TAG.sub("", BREAKING.sub(" ", HIDDEN.sub(" ", text))))
        if text == before:
            break
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    return " ".join(unicodedata.normalize("NFC", text).split())[:LONGEST].rstrip()


def remove_boilerplate_plainly(texts: list[str], share: float = 0.02, words: int = 4) -> list[str]:
    """Return texts without the sentences with which many different ones open or close."""
    rest = {text: text for text in texts if text}
    least = max(FEWEST, share * len(rest))
    for _ in range(BOILERPLATE_ROUNDS):
        counts = Counter(key for text in rest.values() for key in {_key(_first(text)), _key(_last(text))})
        shared = {key for key, count in counts.items() if count >= least and len(key.split()) >= words}
        if not shared:
            break
        rest = {text: _trim(left, shared) for text, left in rest.items()}
    return [rest.get(text, text) for text in texts]


def _trim(text: str, shared: set[str]) -> str:
    first = _first(text)
    if len(first) < len(text) and _key(first) in shared:
        text = text.removeprefix(first).strip()
    last = _last(text)
    if len(last) < len(text) and _key(last) in shared:
        text = text.removesuffix(last).strip()
    return text


def _first(text: str) -> str:
    return SENTENCE_END.split(text[:LONGEST_SENTENCE], maxsplit=1)[0]


def _last(text: str) -> str:
    return [part for part in SENTENCE_END.split(text[-LONGEST_SENTENCE:]) if part][-1]


def _key(sentence: str) -> str:
    return NO_WORD.sub(" ", sentence.casefold()).strip()
