"""Extractive summaries: the sentences of a description that say most about its item, in their own words and order.

Nothing is written here, only chosen. A sentence counts for what its words say about this item (their mean inverse
document frequency over the catalog) and for standing near the beginning, where descriptions say what the item is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable

from illmrec.data.text import MAX_CHARACTERS

LONG_WORD = 30
"""Characters without a space that count as one word; longer runs count as several, so that words bound characters."""

MIN_WORDS = 4
"""A sentence with fewer words is weighed as if it had as many that say nothing: "Wow, zirconia!" is no summary."""

POSITION_WEIGHT = 0.5
"""What standing first is worth, beside a mean between 0 and 1; the n-th sentence gets the n-th part of it."""

_STOPS = ".!?\u2026\u061f\u06d4\u0964"  # the last three end sentences in Arabic, Urdu and Hindi
_WIDE_STOPS = "\u3002\uff01\uff1f"  # of Chinese and Japanese, where no space follows
_CLOSING = "\"')\\]\u201d\u2019\u00bb"
_BREAK = re.compile(rf"(?<=[{_STOPS}])\s+|(?<=[{_STOPS}][{_CLOSING}])\s+|(?<=[{_WIDE_STOPS}])")
_MARKS = (
    _STOPS
    + _WIDE_STOPS
    + "\"'`()[]{}<>,;:*|/\\-+=#\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2022\u00b7\u00a1\u00bf"
)


def count_words(text: str) -> int:
    """Return the number of words; a run of more than :data:`LONG_WORD` characters counts as several."""
    return sum(map(_measure, text.split()))


def cut_words(text: str, most: int) -> str:
    """Return the first ``most`` words, counted as :func:`count_words` does, with single spaces between them."""
    kept: list[str] = []
    left = most
    for word in text.split():
        if _measure(word) > left:
            kept += [word[: left * LONG_WORD]] if left else []
            break
        kept.append(word)
        left -= _measure(word)
    return " ".join(kept)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, with single spaces between their words.

    A line end ends a sentence, and so does a full stop, question or exclamation mark before a space. Before a small
    letter it does not ("approx. half"), unless the line has no capital at all.
    """
    parts: list[str] = []
    for line in text.splitlines():
        small, start = line.islower(), 0
        for found in _BREAK.finditer(line):
            if small or not line[found.end() : found.end() + 1].islower():
                parts.append(line[start : found.start()])
                start = found.end()
        parts.append(line[start:])
    return [sentence for part in parts if (sentence := " ".join(part.split()))]


class ExtractiveSummarizer:
    """Chooses sentences by what their words say, given the catalog.

    Args:
        texts: the catalog's descriptions, empty ones included. Equal texts count once, because variants of one product
            may share a description.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        distinct = dict.fromkeys(text for text in texts if text)
        counts = Counter(word for text in distinct for word in dict.fromkeys(_list_words(text[:MAX_CHARACTERS])))
        self._scale = math.log1p(len(distinct)) or 1.0
        self._weights = {word: 1.0 - math.log1p(count) / self._scale for word, count in counts.items()}

    def summarize(self, text: str, max_words: int) -> str:
        """Return the best sentences that fit, in their order.

        A sentence longer than ``max_words`` counts as its first ``max_words`` words. One that only repeats the words of
        a better one is left out. The first :data:`illmrec.data.text.MAX_CHARACTERS` characters are looked at; only a
        blank text gives an empty summary.

        Args:
            text: one of the catalog's descriptions.
            max_words: most words of the summary.
        """
        sentences = [cut_words(sentence, max_words) for sentence in split_sentences(text[:MAX_CHARACTERS])]
        words = [_list_words(sentence) for sentence in sentences]
        scores = [self._score(place, said) for place, said in enumerate(words)]
        kept: dict[int, str] = {}
        seen: set[tuple[str, ...]] = set()
        left = max_words
        for place in sorted(range(len(sentences)), key=lambda place: (-scores[place], place)):
            size, said = count_words(sentences[place]), tuple(words[place])
            if size <= left and said not in seen:
                kept[place] = sentences[place]
                seen.add(said)
                left -= size
        return _join(kept[place] for place in sorted(kept))

    def _score(self, place: int, words: list[str]) -> float:
        distinct = dict.fromkeys(words)  # in order, because the sum's last bits depend on it
        if not distinct:
            return 0.0
        said = sum(self._weights.get(word, 1.0) for word in distinct if any(map(str.isalpha, word)))
        return said / max(len(distinct), MIN_WORDS) + POSITION_WEIGHT / (place + 1)


def _measure(word: str) -> int:
    return -(-len(word) // LONG_WORD)


def _list_words(text: str) -> list[str]:
    return [word for part in text.casefold().split() if (word := part.strip(_MARKS))]


def _join(sentences: Iterable[str]) -> str:
    return "".join(s if s[-1] in _WIDE_STOPS else f"{s} " for s in sentences).rstrip()
