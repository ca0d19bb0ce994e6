"""A small Llama and its tokenizer, trained on a catalog's own texts.

It stands in where no pretrained language model can be had. Its documents are lists of related items followed by a
statement about what they share, in the words of the prompt, so that it learns to read a list and to answer about it.
They hold catalog texts only, never a user's history. What is saved is an ordinary transformers folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from illmrec.models import templates
from illmrec.progress import track
from illmrec.seeds import generator
from illmrec.training.seeding import seed_everything

_BEGIN, _END, _PAD = "<s>", "</s>", "<pad>"
_LIST_SIZES = (1, 9)


@dataclass(frozen=True)
class LanguageSettings:
    """Size and training of the model; see :class:`pipelines.parameters.features.SmallLanguageConfig`."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    context: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Return a byte-level BPE tokenizer of transformers, trained on ``texts`` and the prompt's own words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _BEGIN, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([*texts, *templates.all_prompt_texts()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=_PAD, bos_token=_BEGIN, eos_token=_END)


def write_documents(items: pl.DataFrame, count: int, seed: int) -> list[str]:
    """Return ``count`` documents: items that share a brand or category, then an alignment statement about one more."""
    rng = generator(seed, "documents")
    rows = items.with_columns(pl.col("category").list.join(" > ")).to_dicts()
    groups = _group_rows(rows)
    documents = []
    for _ in range(count):
        members = groups[int(rng.integers(len(groups)))]
        size = int(rng.integers(*_LIST_SIZES))
        chosen = [rows[members[int(place)]] for place in rng.integers(0, len(members), size + 1)]
        documents.append(templates.TASK + "".join(map(_write_item, chosen[:-1])) + _write_statement(chosen[-1], rng))
    return documents


def _group_rows(rows: list[dict[str, str]]) -> list[list[int]]:
    groups: dict[tuple[str, str], list[int]] = {}
    for number, row in enumerate(rows):
        for name in ("brand", "category"):
            groups.setdefault((name, row[name]), []).append(number)
    return list(groups.values())


def _write_item(row: dict[str, str]) -> str:
    title = row["title"] or templates.UNTITLED
    opening = templates.ITEM_BEFORE_TITLE + title + templates.ITEM_BEFORE_IMAGE
    return opening + row["description"][:200] + templates.ITEM_END


def _write_statement(row: dict[str, str], rng: np.random.Generator) -> str:
    known = [template for template in templates.ALIGNMENT if row[template[0]]]
    if not known:
        return templates.INSTRUCTION
    name, question, answer = known[int(rng.integers(len(known)))]
    return question + answer.replace("{}", row[name][:200])


def train_language(folder: Path, items: pl.DataFrame, tokenizer: Any, settings: LanguageSettings) -> list[float]:
    """Train a Llama on :func:`write_documents` and save it with its tokenizer; return the loss per step.

    Args:
        folder: existing folder to fill.
        items: the ``items`` table.
        tokenizer: see :func:`train_tokenizer`.
        settings: size and training.
    """
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    seed_everything(settings.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.width * 8 // 3,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).train()
    stream = _pack_documents(write_documents(items, max(2000, 2 * items.height), settings.seed), tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps)
    losses = []
    for step in track(range(settings.steps), "language model", unit="step"):
        rng = generator(settings.seed, "language", step)
        starts = rng.integers(0, max(1, len(stream) - settings.context), settings.batch_size)
        batch = torch.stack([stream[start : start + settings.context] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return losses


def _pack_documents(documents: list[str], tokenizer: Any) -> Tensor:
    """Return ``int64 [total]``: all documents one after the other, each between its begin and end tokens."""
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    pieces = [[begin, *ids, end] for ids in tokenizer(documents, add_special_tokens=False)["input_ids"]]
    return torch.from_numpy(np.concatenate([np.asarray(piece, dtype=np.int64) for piece in pieces]))
