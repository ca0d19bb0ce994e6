"""A small invented catalog and a language model with random weights.

They stand in for a real catalog and a trained model where only arithmetic, time or memory matter; nothing measured on
them says anything about the quality of recommendations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from illmrec.columns import ITEMS
from illmrec.data.histories import Ragged, pack_rows
from illmrec.features.matrix import FeatureMatrix, MatrixHeader
from illmrec.models.adaptor import Preset
from illmrec.models.backbone import Backbone
from illmrec.models.prompt import PromptForm, PromptTokens, tokenize_prompt
from illmrec.models.recommender import Recommender, TrainedParts
from illmrec.seeds import generator
from illmrec.training.language import train_tokenizer
from illmrec.training.seeding import seed_everything

WIDTHS = {"image": 24, "cf": 10, "text": 16}
"""Feature type -> width of the invented features."""

_WORDS = ["steel", "running", "light", "blue", "trail", "bottle", "pan", "canvas", "soft", "large", "kit", "lamp"]
_BRANDS = ["Wolt", "Arven", "Nordby", "Kesta"]
_CATEGORIES = [["Sport", "Shoes"], ["Kitchen"], ["Home", "Light", "Lamps"]]


def make_items(count: int, seed: int = 0) -> pl.DataFrame:
    """Return an ``items`` table: every fifth item has no picture, others lack a brand, a description or everything.

    Item 0 has all properties, item 1 none but a picture, item 2 neither properties nor picture.
    """
    rng = generator(seed, "tiny items")
    rows = []
    for item in range(count):
        title = " ".join(rng.choice(_WORDS, int(rng.integers(1, 6)))) + f" {item}"
        brand = "" if item % 3 == 2 else str(rng.choice(_BRANDS))
        category = [] if item % 7 == 3 else _CATEGORIES[int(rng.integers(len(_CATEGORIES)))]
        description = "" if item % 4 == 1 else " ".join(rng.choice(_WORDS, int(rng.integers(4, 20)))).capitalize() + "."
        if item in (1, 2):
            title, brand, category, description = "", "", [], ""
        pictured = item % 5 != 2
        status = "ok" if pictured else "missing"
        rows.append((f"item-{item:03d}", title, brand, category, description, f"{item}.png" * pictured, status))
    return pl.DataFrame(rows, schema=ITEMS, orient="row")


def make_sequences(users: int, n_items: int, lengths: tuple[int, int], seed: int = 0) -> Ragged:
    """Return random sequences with lengths in ``[low, high]``."""
    rng = generator(seed, "tiny sequences")
    return pack_rows([rng.integers(0, n_items, int(rng.integers(lengths[0], lengths[1] + 1))) for _ in range(users)])


def make_features(present: npt.NDArray[np.bool_], seed: int = 0) -> dict[str, FeatureMatrix]:
    """Return random feature matrices of all types; ``present`` marks the items with a picture."""
    matrices = {}
    for kind, width in WIDTHS.items():
        shown = present if kind == "image" else np.ones(len(present), dtype=np.bool_)
        values = generator(seed, "tiny features", kind).standard_normal((len(present), width)).astype(np.float16)
        header = MatrixHeader(kind, "invented", "0", width, "rms", "none", int((~shown).sum()), "mean")
        matrices[kind] = FeatureMatrix(header, values, shown)
    return matrices


def save_language_model(folder: Path, items: pl.DataFrame, *, width: int, layers: int, heads: int) -> Path:
    """Save a Llama with RANDOM weights and a tokenizer trained on the items' texts.

    The weights are spread wider than usual, so that attention is far from uniform and a wrong mask shows.
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = train_tokenizer([*items["title"], *items["brand"], *items["description"]], 420)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=2048,
        initializer_range=0.6 * width**-0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    seed_everything(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


FORM = PromptForm(title_tokens=12, description_tokens=24)


def write_prompt(
    backbone: Backbone, items: pl.DataFrame, pictured: npt.NDArray[np.bool_], form: PromptForm = FORM
) -> PromptTokens:
    """Return the prompt segments of a catalog."""
    return tokenize_prompt(
        items,
        pictured,
        backbone.tokenize,
        form,
        begin=backbone.begin_tokens,
        end=backbone.end_tokens,
        summaries=[text[:20] for text in items["description"]],
    )


def build_recommender(
    backbone: Backbone,
    items: pl.DataFrame,
    *,
    pictured: npt.NDArray[np.bool_] | None = None,
    kinds: tuple[str, ...] = ("image", "cf", "text"),
    preset: Preset = "paper",
    history_limit: int = 8,
    shared_width: int = 12,
    seed: int = 0,
    form: PromptForm = FORM,
    type_weights: Literal["equal", "learned"] = "equal",
    token_budget: int | None = None,
) -> Recommender:
    """Return an untrained recommender over random features.

    Args:
        backbone: see :func:`save_language_model`.
        items: see :func:`make_items`.
        pictured: ``bool [n_items]``: which items have a picture; default: as the table says.
        kinds: feature types of retrieval.
        preset: form of the adaptor.
        history_limit: most recent items shown.
        shared_width: width of the recommendation space per type.
        seed: of the trained parts' first values.
        form: how the prompt is written.
        type_weights: whether a weight per feature type is ``learned``.
        token_budget: most tokens of a retrieval prompt.
    """
    shown = (items["image_status"] == "ok").to_numpy() if pictured is None else pictured
    seed_everything(seed)
    parts = TrainedParts(
        llm_width=backbone.width,
        slot_width=sum(WIDTHS[kind] for kind in form.slot_kinds) or None,
        widths={kind: WIDTHS[kind] for kind in kinds},
        adaptor_hidden=20,
        shared_width=shared_width,
        preset=preset,
        image_tokens=form.image_tokens,
        type_weights=type_weights,
    )
    # First values of the [REC] vector are small on purpose; here it should weigh as much as a word.
    with torch.no_grad():
        parts.rec.mul_(0.6 * backbone.width**-0.5 / 0.02)
    return Recommender(
        backbone,
        parts,
        write_prompt(backbone, items, shown, form),
        make_features(shown),
        history_limit,
        slot_kinds=form.slot_kinds,
        token_budget=token_budget,
    )
