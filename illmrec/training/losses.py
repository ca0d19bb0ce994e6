"""The losses of the paper: retrieval (RERI, equation 1) and alignment (RISA, 3.2)."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor


def retrieval_losses(positive: Tensor, negative: Tensor) -> Tensor:
    """Return ``float32 [F]``: mean over the batch of ``-log sigma(s+) - log(1 - sigma(s-))`` per feature type.

    Args:
        positive: ``float32 [B, F]``: scores of the targets.
        negative: ``float32 [B, F]``: scores of the negatives.
    """
    return (functional.softplus(-positive) + functional.softplus(negative)).mean(0)


def alignment_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return the mean cross entropy over the answers' tokens.

    Args:
        logits: ``float32 [A, vocabulary]``.
        tokens: ``int64 [A]``: the answers' tokens.
    """
    return functional.cross_entropy(logits, tokens)
