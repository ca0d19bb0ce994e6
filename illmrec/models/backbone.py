"""The frozen language model and its tokenizer, loaded from a local folder through transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from illmrec.errors import ModelError


class Backbone:
    """A causal language model that is read, never trained.

    Args:
        folder: what ``from_pretrained`` reads, tokenizer included.
        dtype: number format of its weights and arithmetic.
        device: torch device.

    Raises:
        ModelError: when the folder is not such a model, lacks some of its weights, or holds them in a format that can
            run code.
    """

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        model, self.tokenizer = _load(folder, dtype)
        self._model: Any = model.eval().requires_grad_(requires_grad=False).to(device)
        self._decoder = self._model.get_decoder()
        self._unembed = self._model.get_output_embeddings()
        self.device = torch.device(device)
        self.dtype = dtype
        self.width = int(self._model.config.hidden_size)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens."""
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        return ids

    @property
    def begin_tokens(self) -> list[int]:
        """Return what begins a text: the tokenizer's beginning-of-sequence token, or nothing."""
        token = self.tokenizer.bos_token_id
        return [] if token is None else [int(token)]

    @property
    def end_tokens(self) -> list[int]:
        """Return what ends a text: the tokenizer's end-of-sequence token, or nothing."""
        token = self.tokenizer.eos_token_id
        return [] if token is None else [int(token)]

    def embed(self, token_ids: Tensor) -> Tensor:
        """Return ``dtype [B, T, d_llm]``: word embeddings of ``int64 [B, T]``."""
        embeddings: Tensor = self._model.get_input_embeddings()(token_ids)
        return embeddings

    def run(self, embeddings: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        """Return ``dtype [B, T, d_llm]``: last hidden states, after the final normalisation.

        Args:
            embeddings: ``dtype [B, T, d_llm]``.
            positions: ``int64 [B, T]``.
            mask: ``bool [B, 1, T, T]``, True where attention is allowed; None for plain causal attention.
        """
        states: Tensor = self._decoder(
            inputs_embeds=embeddings, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        return states

    def predict_tokens(self, hidden: Tensor) -> Tensor:
        """Return ``float32 [A, vocabulary]``: next-token logits of hidden states ``dtype [A, d_llm]``."""
        logits: Tensor = self._unembed(hidden).float()
        return logits


def _load(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a folder."""
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    loader: Any = AutoModelForCausalLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model, report = loader.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, attn_implementation="sdpa", output_loading_info=True, **local
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"is not a readable causal language model: {error}", path=folder) from None
    # transformers fills absent weights with random numbers and only warns.
    absent = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if absent:
        raise ModelError(f"{len(absent)} weights are absent or of another shape, {absent[0]} first.", path=folder)
    return model, tokenizer
