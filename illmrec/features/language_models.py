"""Causal language models from local folders, loaded through transformers without running anybody's code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from illmrec.errors import ModelError, ParameterError


def load_language_model(
    folder: Path, dtype: torch.dtype, hint: str = "", *, layers: int | None = None, random_seed: int | None = None
) -> tuple[Any, Any]:
    """Return the model and the tokenizer of a folder.

    Args:
        folder: what ``from_pretrained`` reads, tokenizer included; weights as safetensors.
        dtype: number format of the weights.
        hint: what to do when it is no such folder.
        layers: how many of its layers are read, the first ones; None for all. The final normalisation follows them.
        random_seed: seed of weights that are drawn as for a model before its training, in place of the folder's own;
            None for the folder's own. For telling what the language model's knowledge is worth.

    Raises:
        ModelError: when it is no such model, lacks some of its weights, or holds them in a format that can run code.
        ParameterError: when it has fewer layers.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    local = {"local_files_only": True, "trust_remote_code": False}
    loader: Any = AutoModelForCausalLM
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        config = AutoConfig.from_pretrained(folder, **local)
        _cut_layers(config, layers, folder)
        # Scores that are capped before the softmax (Gemma 2) cannot be had from fused attention.
        capped = getattr(config, "attn_logit_softcapping", None) is not None
        form = {"config": config, "dtype": dtype, "attn_implementation": "eager" if capped else "sdpa"}
        if random_seed is not None:
            return _draw_model(loader, form, random_seed), tokenizer
        with _keep_quiet():
            model, report = loader.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **form, **local
            )
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"is not a readable causal language model: {error}", path=folder, hint=hint) from None
    refuse_absent_weights(report, folder, hint or "Fetch the model's files again, or name another.")
    return model, tokenizer


def refuse_absent_weights(report: dict[str, Any], path: Path, hint: str) -> None:
    """Read what transformers reports of a loading: it fills absent weights with random numbers and only warns.

    Raises:
        ModelError: when some are absent or of another shape.
    """
    absent = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if absent:
        message = f"{len(absent)} weights are absent or of another shape, {absent[0]} first."
        raise ModelError(message, path=path, hint=hint)


@contextlib.contextmanager
def _keep_quiet() -> Iterator[None]:
    """Keep transformers from listing, on stderr, the weights of layers that are not read; absent ones are an error."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _cut_layers(config: Any, layers: int | None, folder: Path) -> None:
    """Let a model's settings describe its first layers alone."""
    if layers is None:
        return
    if layers > config.num_hidden_layers:
        has = f"expected at most {config.num_hidden_layers}, which the model has"
        raise ParameterError(f"encoders.backbone.layers is {layers}, {has}.", path=folder)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


def _draw_model(loader: Any, form: dict[str, Any], seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return loader.from_config(**form)
