"""Causal language models from local folders, loaded through transformers without running anybody's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from illmrec.errors import ModelError


def load_language_model(folder: Path, dtype: torch.dtype, hint: str = "") -> tuple[Any, Any]:
    """Return the model and the tokenizer of a folder.

    Args:
        folder: what ``from_pretrained`` reads, tokenizer included; weights as safetensors.
        dtype: number format of the weights.
        hint: what to do when it is no such folder.

    Raises:
        ModelError: when it is no such model, lacks some of its weights, or holds them in a format that can run code.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    loader: Any = AutoModelForCausalLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        # Scores that are capped before the softmax (Gemma 2) cannot be had from fused attention.
        capped = getattr(AutoConfig.from_pretrained(folder, **local), "attn_logit_softcapping", None) is not None
        attention = "eager" if capped else "sdpa"
        model, report = loader.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, attn_implementation=attention, output_loading_info=True, **local
        )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"is not a readable causal language model: {error}", path=folder, hint=hint) from None
    # transformers fills absent weights with random numbers and only warns.
    absent = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if absent:
        message = f"{len(absent)} weights are absent or of another shape, {absent[0]} first."
        raise ModelError(message, path=folder, hint=hint or "Fetch the model's files again, or name another.")
    return model, tokenizer
