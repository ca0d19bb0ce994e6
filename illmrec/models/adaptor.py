"""The adaptor M: image feature to the language model's width (paper, 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from illmrec.models.centring import FirstLayer

Preset = Literal["paper", "authors"]


def balance_parts(parts: Sequence[Tensor]) -> Tensor:
    """Return features side by side, scaled so that each contributes the same to the adaptor whatever its width.

    Every coordinate has a root mean square of 1, so a picture's thousand would drown the fifty of a CF embedding. The
    whole keeps a root mean square of 1; a single part stays as it is.

    Args:
        parts: ``float32 [M, width]`` each.

    Returns:
        ``float32 [M, sum of widths]``.
    """
    total = sum(part.shape[-1] for part in parts)
    return torch.cat([part * math.sqrt(total / (len(parts) * part.shape[-1])) for part in parts], dim=-1)


def build_adaptor(image_width: int, hidden: int, llm_width: int, preset: Preset) -> nn.Sequential:
    """Return the 2-layer perceptron ``[M, image_width] -> [M, llm_width]``.

    Args:
        image_width: width of the image features.
        hidden: hidden width; 512 in the paper.
        llm_width: width of the language model.
        preset: ``paper``: Linear, ReLU, Linear. ``authors``: Linear, LayerNorm, GELU, Linear, as in their code.
    """
    first, last = FirstLayer(image_width, hidden), nn.Linear(hidden, llm_width)
    if preset == "paper":
        return nn.Sequential(first, nn.ReLU(), last)
    return nn.Sequential(first, nn.LayerNorm(hidden, eps=1e-8), nn.GELU(), last)
