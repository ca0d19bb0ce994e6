"""The adaptor M: image feature to the language model's width (paper, 3.1)."""

from __future__ import annotations

from typing import Literal

from torch import nn

Preset = Literal["paper", "authors"]


def build_adaptor(image_width: int, hidden: int, llm_width: int, preset: Preset) -> nn.Sequential:
    """Return the 2-layer perceptron ``[M, image_width] -> [M, llm_width]``.

    Args:
        image_width: width of the image features.
        hidden: hidden width; 512 in the paper.
        llm_width: width of the language model.
        preset: ``paper``: Linear, ReLU, Linear. ``authors``: Linear, LayerNorm, GELU, Linear, as in their code.
    """
    first, last = nn.Linear(image_width, hidden), nn.Linear(hidden, llm_width)
    if preset == "paper":
        return nn.Sequential(first, nn.ReLU(), last)
    return nn.Sequential(first, nn.LayerNorm(hidden, eps=1e-8), nn.GELU(), last)
