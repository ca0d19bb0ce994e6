"""Summaries written by a causal language model, decoded greedily in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from illmrec.data.text import MAX_CHARACTERS, clean_text
from illmrec.errors import ModelError

MAX_INPUT_TOKENS = 1024
"""Tokens of a description that the model reads."""

MIN_INPUT_TOKENS = 16
"""A model whose context leaves fewer cannot summarize."""

Precision = Literal["fp32", "bf16"]

_BEFORE = "Summarize the description of a product in one line of at most {max_words} words.\n\nDescription: "
_AFTER = "\n\nSummary:"


def describe_writing(max_words: int, max_new_tokens: int, precision: Precision) -> str:
    """Return everything but the model that decides what :class:`SummaryWriter` writes, as text."""
    asked = {"before": _BEFORE.format(max_words=max_words), "after": _AFTER, "max_input_tokens": MAX_INPUT_TOKENS}
    return json.dumps(asked | {"max_new_tokens": max_new_tokens, "precision": precision}, sort_keys=True)


class SummaryWriter:
    """A causal language model in a local folder, asked for summaries.

    Args:
        folder: what ``from_pretrained`` reads, tokenizer included; weights as safetensors.
        max_words: length that the model is asked for; it need not obey.
        max_new_tokens: most tokens it writes per summary.
        precision: number format of its weights and arithmetic.
        device: torch device.

    Raises:
        ModelError: when the folder is not such a model, lacks some of its weights, holds them in a format that can run
            code, or reads too few tokens for the question and the answer.
    """

    def __init__(
        self, folder: Path, *, max_words: int, max_new_tokens: int, precision: Precision = "fp32", device: str = "cpu"
    ) -> None:
        import torch
        from transformers import GenerationConfig

        from illmrec.features.language_models import load_language_model

        hint = "summarize.name must name a causal language model with its tokenizer, weights as safetensors."
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        model, self._tokenizer = load_language_model(folder, dtype, hint)
        self._model: Any = model.eval().requires_grad_(requires_grad=False).to(device)
        end = self._model.generation_config.eos_token_id
        end = self._tokenizer.eos_token_id if end is None else end
        pad = self._tokenizer.pad_token_id
        # In place of the folder's own settings, which may ask for sampling or penalties.
        self._model.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=end,
            pad_token_id=0 if pad is None else pad,
        )
        begin = self._tokenizer.bos_token_id
        self._before = [*([] if begin is None else [begin]), *self._tokenize([_BEFORE.format(max_words=max_words)])[0]]
        self._after = self._tokenize([_AFTER])[0]
        self._limit = self._find_limit(folder, max_new_tokens)

    def write(self, texts: Sequence[str]) -> list[str]:
        """Return a summary of each text, on one line, without markup; empty where the model writes nothing.

        Tokens that steer the model (its end of text, for instance) are taken out of the texts.
        """
        import torch

        special = set(self._tokenizer.all_special_ids)
        prompts = []
        for ids in self._tokenize([text[:MAX_CHARACTERS] for text in texts]):
            read = [token for token in ids if token not in special][: self._limit]
            prompts.append([*self._before, *read, *self._after])
        longest = max(map(len, prompts))
        pad = self._model.generation_config.pad_token_id
        # Padding stands in front, so that the next token of every row follows its last one.
        tokens = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts], device=self._model.device)
        mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=tokens.device)
        with torch.inference_mode():
            written = self._model.generate(input_ids=tokens, attention_mask=mask)[:, longest:]
        return [_clean(text) for text in self._tokenizer.batch_decode(written.tolist(), skip_special_tokens=True)]

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    def _find_limit(self, folder: Path, max_new_tokens: int) -> int:
        positions: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if positions is None:
            return MAX_INPUT_TOKENS
        room = positions - max_new_tokens - len(self._before) - len(self._after)
        if room < MIN_INPUT_TOKENS:
            message = f"reads {positions:,} tokens, which leaves {max(room, 0)} for a description and"
            hint = f"Lower summarize.max_new_tokens ({max_new_tokens} now), or name a model that reads more."
            raise ModelError(f"{message} at least {MIN_INPUT_TOKENS} are needed.", path=folder, hint=hint)
        return min(room, MAX_INPUT_TOKENS)


def _clean(written: str) -> str:
    """Return the first line with words: models that were not taught to stop go on with another description."""
    line = next((line for line in written.splitlines() if line.strip()), "")
    # What the last token began and none went on with decodes to a replacement character.
    return clean_text(line.replace("\ufffd", ""))
