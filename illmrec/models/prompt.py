"""The prompt as token segments, made once per catalog; batches are put together from them without a tokenizer.

A history reads ``[task] [item 1] ... [item L]``; an item is its title and ONE image slot, which holds no token but the
adapted image feature (paper, 3.1). An item without a picture has its description's tokens in place of the slot (paper,
E.8). After the shared history two branches follow: the retrieval instruction with its [REC] slot (paper, 3.3) and a
question about the next item with its answer (paper, 3.2). The instruction may stand before the history instead: then
the retrieval branch is the [REC] slot alone, and everything constant is one prefix.

How an item is written is its representation; by changing nothing else, the paper compares language-model recommenders
(paper, 4.1): ``image`` is I-LLMRec, ``image+description`` I-LLMRec+, ``attribute`` TALLRec, ``cf`` A-LLMRec,
``summary`` TRSR, ``description`` and ``title`` are controls. ``image+cf`` is beyond the paper: the one token is made
of the picture and the CF embedding together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.histories import Indices, Ragged, pack_rows
from illmrec.models import templates
from illmrec.seeds import draw_cycle

Tokenize = Callable[[list[str]], list[list[int]]]
"""Texts to token ids, without special tokens."""

Representation = Literal["image", "image+description", "image+cf", "attribute", "cf", "summary", "description", "title"]
MissingImage = Literal["description", "feature", "drop"]
Layout = Literal["shared", "chat"]

SLOT_KINDS: dict[Representation, tuple[str, ...]] = {
    "image": ("image",),
    "image+description": ("image",),
    "image+cf": ("image", "cf"),
    "cf": ("cf",),
}
"""Representation -> feature types that fill its slot, one after the other; the others have no slot."""

SLOT = 0
"""Token id under an image or [REC] slot; its embedding is never read."""

NO_SLOT = -1


@dataclass(frozen=True)
class PromptForm:
    """How a prompt is written.

    Args:
        representation: what an item is written as; see the module.
        title_tokens: longest title; 0 for no titles.
        titles: whether items of a history have their ``own`` titles, or ``shuffled`` ones, each another item's: what
            the language model makes of their meaning is then gone. Answers of alignment keep the own ones.
        item_marks: whether ``words`` stand before an item's parts and a line ends after it (paper). With ``none`` and
            without titles an item is its slot alone.
        description_tokens: longest description or summary, and longest value in an answer.
        missing_image: what an item without a picture has in place of its slot: its ``description`` (paper, E.8), the
            slot all the same with the ``feature`` that stands in for its picture, or nothing (``drop``).
        image_tokens: tokens that a picture becomes; 1 in the paper.
        instruction: where the retrieval instruction stands.
            Differs from the paper where it is ``before_history``: there it stands after the history.
        alignment_prompt: ``shared``: one history for both branches (paper); ``chat``: the question is a chat turn of
            its own around the history, as in the authors' code, so the history is read twice.
    """

    representation: Representation = "image"
    title_tokens: int = 32
    titles: Literal["own", "shuffled"] = "own"
    item_marks: Literal["words", "none"] = "words"
    description_tokens: int = 96
    missing_image: MissingImage = "description"
    image_tokens: int = 1
    instruction: Literal["after_history", "before_history"] = "after_history"
    alignment_prompt: Layout = "shared"

    @property
    def slot_kinds(self) -> tuple[str, ...]:
        """Return the feature types that fill the slots; none for a representation in words alone."""
        return SLOT_KINDS.get(self.representation, ())


@dataclass(frozen=True)
class PromptTokens:
    """Every text of the prompt, tokenized.

    Args:
        head: ``int32 [t]``: beginning-of-sequence token, if the tokenizer has one, and the task; then the retrieval
            instruction, where it comes first.
        items: per item its segment, the slots included.
        slot_starts: ``int32 [n_items]``: position of the first slot in the item's segment, or :data:`NO_SLOT`.
        bare_items: per item the segment it has when its picture is hidden (in training, at random).
        instruction: ``int32 [t]``: retrieval instruction after the history, empty where it stands in the head; the
            [REC] slot follows it.
        questions: per alignment template the question.
        answers: per alignment template the tokens before and after the property, the end-of-text token included.
        properties: per property the tokens of every item's value; an empty row means the item lacks it.
        slots: consecutive slots of an item.
        question_head: ``int32 [t]``: what a question's own copy of the history begins with, where it has one.
    """

    head: Indices
    items: Ragged
    slot_starts: Indices
    bare_items: Ragged
    instruction: Indices
    questions: list[Indices]
    answers: list[tuple[Indices, Indices]]
    properties: dict[str, Ragged]
    slots: int = 1
    question_head: Indices | None = None

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

    def measure_answer(self, template: int, item: int) -> int:
        """Return the tokens of an answer."""
        before, after = self.answers[template]
        return len(before) + len(self.properties[templates.ALIGNMENT[template][0]][item]) + len(after)

    @property
    def can_hide(self) -> npt.NDArray[np.bool_]:
        """Return ``bool [n_items]``: items of which something is left when the picture is not shown."""
        return np.asarray(self.bare_items.lengths > 0)

    @property
    def constant_tokens(self) -> int:
        """Tokens of a retrieval prompt beside its items: head, instruction and [REC]."""
        return len(self.head) + len(self.instruction) + 1


def tokenize_prompt(
    items: pl.DataFrame,
    has_image: npt.NDArray[np.bool_],
    tokenize: Tokenize,
    form: PromptForm,
    *,
    begin: Sequence[int],
    end: Sequence[int],
    summaries: Sequence[str] = (),
) -> PromptTokens:
    """Tokenize the texts of a catalog.

    Args:
        items: the ``items`` table in index order.
        has_image: ``bool [n_items]``: which items have a picture.
        tokenize: texts to token ids, without special tokens.
        form: how the prompt is written.
        begin: tokens that begin a text (often one, or none).
        end: tokens that end one.
        summaries: a summary per item, for the representation that wants them.
    """
    titles = tokenize([title or templates.UNTITLED for title in items["title"]])
    descriptions = tokenize(items["description"].to_list())
    brands, categories = tokenize(items["brand"].to_list()), tokenize(items["category"].list.join(" > ").to_list())
    named = [title if known else [] for title, known in zip(titles, items["title"] != "", strict=True)]
    if form.titles == "shuffled":
        titles = [titles[item] for item in draw_cycle(len(titles), 0, "titles")]
    texts = _Texts(
        titles=_cut(titles, form.title_tokens),
        names=_cut(named, form.description_tokens),
        brands=_cut(brands, form.description_tokens),
        categories=_cut(categories, form.description_tokens),
        descriptions=_cut(descriptions, form.description_tokens),
        summaries=_cut(tokenize(list(summaries)), form.description_tokens),
    )
    segments, bare, starts = _write_items(texts, has_image, tokenize, form)
    halves = [answer.split("{}") for _, _, answer in templates.ALIGNMENT]
    befores, afters = tokenize([before for before, _ in halves]), tokenize([after for _, after in halves])
    questions = tokenize([question for _, question, _ in templates.ALIGNMENT])
    task, instruction, before_chat, in_chat = tokenize(
        [templates.TASK, templates.INSTRUCTION, templates.CHAT_BEFORE, templates.CHAT_BETWEEN]
    )
    chat = form.alignment_prompt == "chat"
    first, after = (instruction, []) if form.instruction == "before_history" else ([], instruction)
    return PromptTokens(
        head=_array([*begin, *task, *first]),
        items=pack_rows(segments),
        slot_starts=starts,
        bare_items=pack_rows(bare),
        instruction=_array(after),
        questions=[_array([*tokens, *in_chat] if chat else tokens) for tokens in questions],
        answers=[(_array(b), _array([*a, *end])) for b, a in zip(befores, afters, strict=True)],
        properties={
            "brand": pack_rows(texts.brands),
            "category": pack_rows(texts.categories),
            "title": pack_rows(texts.names),
            "description": pack_rows(texts.descriptions),
        },
        slots=form.image_tokens,
        question_head=_array([*begin, *before_chat, *task]) if chat else None,
    )


@dataclass(frozen=True)
class _Texts:
    """Tokens of every item's texts, cut to their limits; ``names`` are titles where there is one, as long as texts."""

    titles: list[list[int]]
    names: list[list[int]]
    brands: list[list[int]]
    categories: list[list[int]]
    descriptions: list[list[int]]
    summaries: list[list[int]]


def _write_items(
    texts: _Texts, has_image: npt.NDArray[np.bool_], tokenize: Tokenize, form: PromptForm
) -> tuple[list[list[int]], list[list[int]], Indices]:
    """Return each item's segment, its segment without a slot, and where its slots begin."""
    mark = _Marks(tokenize, written=form.item_marks == "words")
    starts = np.full(len(has_image), NO_SLOT, dtype=np.int32)
    segments, bare = [], []
    for item, pictured in enumerate(has_image.tolist()):
        title = mark.name(texts.titles[item]) if form.title_tokens else []
        words = _write_words(texts, item, form, mark)
        fallback = [*title, *_write_fallback(texts, item, form, mark), *words, *mark.end]
        bare.append(fallback)
        without = "image" in form.slot_kinds and not pictured and form.missing_image != "feature"
        # An item without any words keeps its slot, and in it whatever stands for the picture: no item is left out.
        if not form.slot_kinds or (without and (fallback or form.missing_image == "drop")):
            segments.append(fallback)
            continue
        opening = [*title, *(mark.image if "image" in form.slot_kinds else mark.cf)]
        starts[item] = len(opening)
        segments.append([*opening, *[SLOT] * form.image_tokens, *words, *mark.end])
    return segments, bare, starts


class _Marks:
    """The constant texts around the parts of an item; empty where they are not written."""

    def __init__(self, tokenize: Tokenize, *, written: bool) -> None:
        texts = [templates.ITEM_BEFORE_TITLE, templates.ITEM_BEFORE_IMAGE, templates.ITEM_BEFORE_CF]
        texts += [templates.ITEM_BEFORE_BRAND, templates.ITEM_BEFORE_CATEGORY, templates.ITEM_BEFORE_TEXT]
        tokens = tokenize([*texts, templates.ITEM_END]) if written else [[] for _ in range(len(texts) + 1)]
        self.title, self.image, self.cf, self.brand, self.category, self.text, self.end = tokens

    def name(self, title: list[int]) -> list[int]:
        """Return a title behind its mark."""
        return [*self.title, *title]


def _write_words(texts: _Texts, item: int, form: PromptForm, mark: _Marks) -> list[int]:
    """Return the words of an item beside its title, whatever becomes of its slot."""
    if form.representation == "attribute":
        return [*mark.brand, *texts.brands[item], *mark.category, *texts.categories[item]]
    if form.representation == "summary":
        return [*mark.text, *texts.summaries[item]]
    if form.representation in ("description", "image+description"):
        return [*mark.text, *texts.descriptions[item]]
    return []


def _write_fallback(texts: _Texts, item: int, form: PromptForm, mark: _Marks) -> list[int]:
    """Return what stands in place of a picture; nothing where the words hold the description already.

    It is the description; for an item without one, where the history has no titles, the title or else the categories.
    """
    if form.representation not in ("image", "image+cf") or form.missing_image != "description":
        return []
    words = texts.descriptions[item]
    if not words and not form.title_tokens:
        words = texts.names[item] or texts.categories[item]
    return [*mark.image, *words]


def _cut(rows: list[list[int]], limit: int) -> list[list[int]]:
    return [row[:limit] for row in rows]


def _array(tokens: Sequence[int]) -> Indices:
    return np.asarray(tokens, dtype=np.int32)
