"""The prompt as token segments, made once per catalog; batches are put together from them without a tokenizer.

A history reads ``[task] [item 1] ... [item L]``; an item is its title and ONE image slot, which holds no token but the
adapted image feature (paper, 3.1). An item without a picture has its description's tokens in place of the slot (paper,
E.8). After the shared history two branches follow: the retrieval instruction with its [REC] slot (paper, 3.3) and a
question about the next item with its answer (paper, 3.2). The instruction may stand before the history instead: then
the retrieval branch is the [REC] slot alone, and everything constant is one prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.histories import Indices, Ragged, pack_rows
from illmrec.models import templates

Tokenize = Callable[[list[str]], list[list[int]]]
"""Texts to token ids, without special tokens."""

SLOT = 0
"""Token id under an image or [REC] slot; its embedding is never read."""

NO_SLOT = -1


@dataclass(frozen=True)
class PromptTokens:
    """Every text of the prompt, tokenized.

    Args:
        head: ``int32 [t]``: beginning-of-sequence token, if the tokenizer has one, and the task; then the retrieval
            instruction, where it comes first.
        items: per item its segment, the image slot included.
        image_slots: ``int32 [n_items]``: position of the image slot in the item's segment, or :data:`NO_SLOT` where
            the description stands in its place.
        instruction: ``int32 [t]``: retrieval instruction after the history, empty where it stands in the head; the
            [REC] slot follows it.
        questions: per alignment template the question.
        answers: per alignment template the tokens before and after the property, the end-of-text token included.
        properties: per property the tokens of every item's value; an empty row means the item lacks it.
    """

    head: Indices
    items: Ragged
    image_slots: Indices
    instruction: Indices
    questions: list[Indices]
    answers: list[tuple[Indices, Indices]]
    properties: dict[str, Ragged]

    def answerable_templates(self, item: int) -> list[int]:
        """Return the alignment templates whose property the item has."""
        return [
            number
            for number, (name, _, _) in enumerate(templates.ALIGNMENT)
            if self.properties[name].offsets[item + 1] > self.properties[name].offsets[item]
        ]

    def write_answer(self, template: int, item: int) -> Indices:
        """Return the answer of one template for one item."""
        before, after = self.answers[template]
        return np.concatenate([before, self.properties[templates.ALIGNMENT[template][0]][item], after])


def tokenize_prompt(
    items: pl.DataFrame,
    has_image: npt.NDArray[np.bool_],
    tokenize: Tokenize,
    *,
    begin: Sequence[int],
    end: Sequence[int],
    title_tokens: int,
    description_tokens: int,
    instruction_first: bool = False,
) -> PromptTokens:
    """Tokenize the texts of a catalog.

    Args:
        items: the ``items`` table in index order.
        has_image: ``bool [n_items]``: False where the description replaces the image slot.
        tokenize: texts to token ids, without special tokens.
        begin: tokens that begin a text (often one, or none).
        end: tokens that end one.
        title_tokens: longest title.
        description_tokens: longest description.
        instruction_first: put the retrieval instruction before the history.
            Differs from the paper: there it stands after the history.
    """
    titles = _cut(tokenize([title or templates.UNTITLED for title in items["title"]]), title_tokens)
    descriptions = _cut(tokenize(items["description"].to_list()), description_tokens)
    categories = _cut(tokenize(items["category"].list.join(" > ").to_list()), title_tokens)
    brands = _cut(tokenize(items["brand"].to_list()), title_tokens)
    named = [title if known else [] for title, known in zip(titles, items["title"] != "", strict=True)]
    segments, slots = _write_items(titles, descriptions, has_image, tokenize)
    halves = [answer.split("{}") for _, _, answer in templates.ALIGNMENT]
    befores = tokenize([before for before, _ in halves])
    afters = tokenize([after for _, after in halves])
    task, instruction = tokenize([templates.TASK, templates.INSTRUCTION])
    first, after = (instruction, []) if instruction_first else ([], instruction)
    return PromptTokens(
        head=_array([*begin, *task, *first]),
        items=pack_rows(segments),
        image_slots=slots,
        instruction=_array(after),
        questions=[_array(tokens) for tokens in tokenize([question for _, question, _ in templates.ALIGNMENT])],
        answers=[(_array(b), _array([*a, *end])) for b, a in zip(befores, afters, strict=True)],
        properties={
            "brand": pack_rows(brands),
            "category": pack_rows(categories),
            "title": pack_rows(named),
            "description": pack_rows(descriptions),
        },
    )


def _write_items(
    titles: list[list[int]], descriptions: list[list[int]], has_image: npt.NDArray[np.bool_], tokenize: Tokenize
) -> tuple[list[list[int]], Indices]:
    before_title, before_image, end = tokenize(
        [templates.ITEM_BEFORE_TITLE, templates.ITEM_BEFORE_IMAGE, templates.ITEM_END]
    )
    slots = np.full(len(titles), NO_SLOT, dtype=np.int32)
    segments = []
    for item, (title, description) in enumerate(zip(titles, descriptions, strict=True)):
        opening = [*before_title, *title, *before_image]
        if has_image[item]:
            slots[item] = len(opening)
            segments.append([*opening, SLOT, *end])
        else:
            segments.append([*opening, *description, *end])
    return segments, slots


def _cut(rows: list[list[int]], limit: int) -> list[list[int]]:
    return [row[:limit] for row in rows]


def _array(tokens: Sequence[int]) -> Indices:
    return np.asarray(tokens, dtype=np.int32)
