"""Titles and descriptions of the synthetic Amazon items: the words, and the publisher's usual untidiness in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from illmrec.samples.styles import STYLES
from illmrec.samples.world import World

DEPARTMENT = "Sample Home &amp; Office"
"""The real files hold HTML entities in category names too."""

CATEGORIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Kitchen &amp; Dining", "Mugs", ("Mug", "Espresso Cup", "Travel Mug")),
    ("Kitchen &amp; Dining", "Plates", ("Dinner Plate", "Dessert Plate", "Serving Plate")),
    ("Bedding", "Cushions", ("Cushion", "Cushion Cover", "Floor Cushion")),
    ("Bedding", "Blankets", ("Blanket", "Fleece Throw", "Knee Blanket")),
    ("Office Products", "Notebooks", ("Notebook", "Sketchbook", "Pocket Journal")),
    ("Office Products", "Phone Cases", ("Phone Case", "Bumper Case", "Wallet Case")),
    ("Wall Art", "Posters", ("Poster", "Framed Print", "Canvas Print")),
    ("Bags", "Tote Bags", ("Tote Bag", "Shopping Bag", "Beach Bag")),
)
BRANDS = (
    "Norvale", "Tindra", "Okamura Goods", "Bellweather", "Kestrel & Co", "Lumo", "Fennwick",
    "Palisade", "Quillon", "Ravello", "Silvan Home", "Threadneedle", "Umbra Nova", "Wexcombe",
)  # fmt: skip
_SERIES = (
    "Alba", "Brio", "Calla", "Delmar", "Elara", "Faro", "Gala", "Halden", "Isla", "Juno", "Kiro", "Lento",
    "Marlo", "Nima", "Orla", "Pavo", "Rondo", "Sable", "Tavi", "Vento",
)  # fmt: skip
_PACKS = ("Set of 2", "Set of 4", "Gift Boxed", "Large", "Small", "2019 Edition", "with Carry Pouch", "Pack of 3")
_MATERIALS = ("sturdy cotton", "glazed stoneware", "brushed steel", "recycled paper", "soft fleece", "light canvas")
_CARE = ("Wipe clean with a damp cloth.", "Safe in the dishwasher.", "Wash by hand.", "Keep away from open flames.")
_USES = ("everyday use at home", "the desk or the studio", "guests and long weekends", "travel and small rooms")
BOILERPLATE = "We stand behind every order: contact our friendly support team with any question."

STYLE_IN_DESCRIPTION = 0.4
"""Share of items whose description says in words what the picture shows."""
HTML_SHARE = 0.15
BOILERPLATE_SHARE = 0.10
NO_DESCRIPTION_SHARE = 0.05

HOSTILE_TITLE_SUFFIX = "<script>alert('sample')</script>"
UNICODE_TITLE_SUFFIX = "Crème brûlée Édition № 5, 日本製 ☕"


@dataclass(frozen=True)
class ItemTexts:
    """Texts of all items, by item index."""

    titles: list[str]
    descriptions: list[list[str]]
    """As in the raw files: a list of paragraphs, empty for some items."""


def write_texts(world: World, rng: np.random.Generator) -> ItemTexts:
    """Return titles that name brand, series and noun, and descriptions that name the style only for some items."""
    count = world.plan.items
    marks = rng.random((count, 4)) < (STYLE_IN_DESCRIPTION, HTML_SHARE, BOILERPLATE_SHARE, NO_DESCRIPTION_SHARE)
    words = rng.integers(0, 1 << 30, (count, 6))
    titles, descriptions = [], []
    for item in range(count):
        noun = _pick(CATEGORIES[world.category[item]][2], words[item, 0])
        series = _pick(_SERIES, words[item, 1])
        titles.append(f"{BRANDS[world.brand[item]]} {series} {noun}, {_pick(_PACKS, words[item, 2])}")
        shown = STYLES[world.style[item]].words if marks[item, 0] else ""
        paragraphs = _describe(series, noun, shown, words[item, 3:])
        descriptions.append([] if marks[item, 3] else _untidy(paragraphs, html=marks[item, 1], stock=marks[item, 2]))
    titles[count // 3] += f" {HOSTILE_TITLE_SUFFIX}"
    titles[count // 2] += f" {UNICODE_TITLE_SUFFIX}"
    return ItemTexts(titles, descriptions)


def _pick(words: tuple[str, ...], number: int) -> str:
    return words[int(number) % len(words)]


def _describe(series: str, noun: str, shown: str, words: np.ndarray) -> list[str]:
    opening = f"The {series} {noun.lower()} is made of {_pick(_MATERIALS, words[0])} for {_pick(_USES, words[1])}."
    motif = f" The front shows a {shown}." if shown else ""
    return [opening + motif, _pick(_CARE, words[2])]


def _untidy(paragraphs: list[str], *, html: bool, stock: bool) -> list[str]:
    """Return the paragraphs with the markup and the stock sentence that shops leave in their texts."""
    paragraphs = [*paragraphs, BOILERPLATE] if stock else paragraphs
    if not html:
        return paragraphs
    first, *rest = paragraphs
    return [f"<b>Details &amp; care</b><br>{first}", *(f"<p>{text}</p>&nbsp;" for text in rest)]
