"""Which language model a benchmark runs, and how fast it is when it does nothing else.

Without ``--backbone`` it is a small Llama with RANDOM weights. With it, a real one from a folder, with its own
tokenizer: what `illmrec fetch language-model` makes, for instance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import polars as pl
import torch

ROW = 512
"""Tokens of a row of the bare model."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Function = TypeVar("Function", bound=Callable[..., Any])


def backbone_options(function: Function) -> Function:
    """Add ``--backbone``, ``--layers`` and ``--precision`` to a benchmark."""
    options = [
        click.option(
            "--backbone",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="Folder of a real language model; default: a small one with random weights.",
        ),
        click.option("--layers", type=click.IntRange(min=1), help="Read its first layers alone."),
        click.option("--precision", type=click.Choice(list(DTYPES)), default="fp32", show_default=True),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@dataclass(frozen=True)
class LanguageModel:
    """A language model in a folder.

    Args:
        folder: what ``from_pretrained`` reads.
        layers: how many of its first layers are read; None for all.
        about: what a benchmark says of it.
    """

    folder: Path
    layers: int | None
    about: str

    def load(self, dtype: torch.dtype = torch.float32) -> Any:
        """Return the product's way to run it."""
        from illmrec.models.backbone import Backbone

        return Backbone(self.folder, dtype, layers=self.layers)

    def load_plain(self, dtype: torch.dtype = torch.float32) -> Any:
        """Return it as transformers has it, for a reference."""
        from benchmarks.reference import load_language_model

        return load_language_model(self.folder, dtype, self.layers)


def choose_language_model(
    backbone: Path | None, layers: int | None, scratch: Path, items: pl.DataFrame, *, width: int, depth: int
) -> LanguageModel:
    """Return the language model that the options name, or one with random weights, saved into ``scratch``."""
    from benchmarks.tiny import save_language_model

    if backbone is not None:
        cut = "" if layers is None else f", first {layers} layers"
        return LanguageModel(backbone, layers, f"{backbone.name}{cut}")
    depth = layers or depth
    save_language_model(scratch, items, width=width, layers=depth, heads=8)
    return LanguageModel(scratch, None, f"Llama with random weights, {depth} layers, width {width}")


def run_bare(backbone: Any, tokens: int, *, backward: bool) -> Callable[[], object]:
    """Return a function that sends so many tokens through the bare layers, in long causal rows without padding.

    It is the arithmetic of its tokens, with nothing repeated and nothing left out. Prompts can do with less: the last
    layer works for few of their tokens.

    Args:
        backbone: a :class:`illmrec.models.backbone.Backbone`.
        tokens: how many, prompts' constant beginning left out.
        backward: also compute the gradient of what comes in.
    """
    rows = max(1, round(tokens / ROW))
    length = max(1, round(tokens / rows))
    embedded = torch.randn(rows, length, backbone.width, generator=torch.Generator().manual_seed(0))
    embedded = (embedded * 0.05).to(backbone.dtype)
    # Written out, because attention's fast way back takes a mask; what is causal is the same either way.
    causal = torch.ones(1, 1, length, length, dtype=torch.bool).tril()

    def forward() -> torch.Tensor:
        states: torch.Tensor = backbone.decoder(
            inputs_embeds=embedded, attention_mask=causal, use_cache=False
        ).last_hidden_state
        return states

    def forward_and_back() -> None:
        embedded.requires_grad_(requires_grad=True).grad = None
        forward().float().sum().backward()

    return forward_and_back if backward else torch.inference_mode()(forward)
