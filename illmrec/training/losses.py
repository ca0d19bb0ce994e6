"""The losses of the paper, retrieval (RERI, equation 1) and alignment (RISA, 3.2), and others for retrieval.

Every retrieval loss takes scores of a target and of its negatives, per feature type or summed over the types, and
returns one value per target and type, so that a batch can be computed in parts. With one negative, ``bce`` is the
paper's; the others go beyond it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor
from torch.nn import LinearCrossEntropyOptions

_CHUNK_SCORES = 32_000_000
"""Scores of targets and items held at a time, about: 128 MB."""

RetrievalLoss = Literal["bce", "gbce", "softmax", "cross_entropy"]


def retrieval_losses(
    positive: Tensor,
    negative: Tensor,
    *,
    kind: RetrievalLoss = "bce",
    ignored: Tensor | None = None,
    n_items: int = 0,
    calibration: float = 0.0,
) -> Tensor:
    """Return ``float32 [N, F]``: the loss of each target, per feature type.

    Args:
        positive: ``float32 [N, F]``: scores of the targets.
        negative: ``float32 [N, n, F]``: scores of the negatives.
        kind: ``bce``: ``-log sigma(s+)`` and the mean of ``-log(1 - sigma(s-))`` (paper, equation 1, with n = 1);
            ``gbce``: the sum over negatives, the target's probability raised to a power below 1 that makes up for
            sampling (Petrov and Macdonald, 2023), of scores shifted so that equal ones ask for no common change;
            ``softmax``: cross entropy of the target among itself and its negatives; ``cross_entropy``: the same
            formula, where the negatives are the whole catalog.
        ignored: ``bool [N, n]``: negatives that do not count, such as the target itself; None for none.
        n_items: size of the catalog, which ``gbce`` asks for.
        calibration: of ``gbce``, 0 (plain) to 1 (probabilities as if nothing had been sampled).
    """
    if kind in ("softmax", "cross_entropy"):
        if ignored is not None:
            negative = negative.masked_fill(ignored[:, :, None], -torch.inf)
        return torch.logsumexp(torch.cat([positive[:, None], negative], dim=1), dim=1) - positive
    power = 1.0
    if kind == "gbce":
        rate = negative.shape[1] / max(n_items - 1, 1)
        power = rate * (calibration * (1.0 - 1.0 / rate) + 1.0 / rate)
        # Differs from the paper by a constant: embeddings need not learn that nearly every item is a wrong one.
        shift = math.log(power / negative.shape[1])
        positive, negative = positive + shift, negative + shift
    terms = functional.softplus(negative)
    kept = torch.full_like(positive, negative.shape[1])
    if ignored is not None:
        terms = terms.masked_fill(ignored[:, :, None], 0.0)
        kept = (~ignored).sum(1, keepdim=True).to(positive.dtype).expand_as(positive)
    hit = functional.softplus(-positive)
    if kind == "bce":
        return hit + terms.sum(1) / kept.clamp(min=1.0)
    return power * hit + terms.sum(1)


def catalog_cross_entropy(states: Tensor, table: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy ``float []`` of targets among all items, whose scores are never held all at once.

    Gradients are made in the forward pass, so it can be differentiated once.

    Args:
        states: ``float [P, d]``.
        table: ``float [n_items, d]``.
        targets: ``int64 [P]``: item indices.
    """
    rows = max(1, _CHUNK_SCORES // len(table))
    options = LinearCrossEntropyOptions(batch_chunk_size=rows, chunking_method=None)
    return functional.linear_cross_entropy(states, table, targets, options=options)


def alignment_losses(logits: Tensor, tokens: Tensor) -> Tensor:
    """Return ``float32 [A]``: the cross entropy of each of the answers' tokens.

    Args:
        logits: ``float32 [A, vocabulary]``.
        tokens: ``int64 [A]``: the answers' tokens.
    """
    return functional.cross_entropy(logits, tokens, reduction="none")
