"""Attention as transformers asks for it, with a faster way back where torch's own is slow: bfloat16 on a processor.

There the fused kernel goes forward well and backward badly: the same arithmetic takes less time as matrix products
(``benchmarks.training --precision bf16`` has a row for it). So the result is the fused kernel's, equal to what reading
users gives, and its gradients are computed from scores put together anew: nothing more is kept for the backward pass
than torch would keep. Everywhere else torch's kernel does
both.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import scaled_dot_product_attention

NAME = "illmrec"
"""What transformers calls it."""

LONGEST = 640
"""Columns up to which scores are put together; the fused kernel's backward pass is faster in longer rows."""


def use_attention(model: Any) -> None:
    """Let a model that would use torch's fused attention use this one; other models stay as they are."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **named: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return ``dtype [B, T, heads, d_head]``, and no weights.

    Args:
        module: the attention layer.
        query: ``dtype [B, heads, T, d_head]``.
        key: ``dtype [B, key heads, S, d_head]``; each serves as many heads as there are times more of them.
        value: ``dtype [B, key heads, S, d_head]``.
        attention_mask: ``bool [B or 1, 1, T, S]``, True where attention is allowed; None for a causal one.
        dropout: share of weights left out.
        scaling: factor of the scores; one by the root of ``d_head`` unless given.
        named: what else transformers hands over.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    trains = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    slow = query.device.type == "cpu" and query.dtype == torch.bfloat16 and key.shape[2] <= LONGEST
    plain = dropout == 0.0 and named.get("position_bias") is None and named.get("softcap") is None
    masked = attention_mask is not None and attention_mask.dtype == torch.bool and attention_mask.shape[1] == 1
    if not (trains and slow and plain and masked and query.shape[3] == value.shape[3]):
        return cast(
            "tuple[Tensor, Tensor | None]",
            sdpa_attention_forward(
                module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **named
            ),
        )
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    attended = cast("Tensor", _Attention.apply(query, key, value, attention_mask, factor))  # type: ignore[no-untyped-call]
    return attended.transpose(1, 2).contiguous(), None


class _Attention(torch.autograd.Function):
    """The fused kernel forward; matrix products backward."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, factor: float) -> Tensor:
        served = query.shape[1] // key.shape[1]
        attended = scaled_dot_product_attention(
            query, _serve(key, served), _serve(value, served), attn_mask=mask, scale=factor
        )
        ctx.save_for_backward(query, key, value, mask, attended)
        ctx.factor = factor
        return attended

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mask, attended = cast("Any", ctx).saved_tensors
        factor = cast("Any", ctx).factor
        batch, heads, length, width = query.shape
        count, columns = key.shape[1:3]

        def gather(values: Tensor) -> Tensor:
            """Return heads that share a key as one run of rows: ``[B, key heads, served * T, d_head]``."""
            return values.reshape(batch, count, -1, width)

        asked, given = gather(query * factor), gather(gradient)
        scores = (asked @ key.transpose(-1, -2)).view(batch, count, heads // count, length, columns)
        scores.masked_fill_(~mask[:, :, None], float("-inf"))
        weights = scores.softmax(-1).view(batch, count, -1, columns)
        of_value = weights.transpose(-1, -2) @ given
        of_scores = given @ value.transpose(-1, -2)
        of_scores.sub_((given * gather(attended)).sum(-1, keepdim=True)).mul_(weights)
        of_query = (of_scores @ key).mul_(factor).view(query.shape)
        of_key = of_scores.transpose(-1, -2) @ asked
        return of_query, of_key, of_value, None, None


def _serve(values: Tensor, times: int) -> Tensor:
    """Return ``[B, key heads * times, S, d_head]``: each key head repeated for the heads it serves."""
    if times == 1:
        return values
    batch, count, columns, width = values.shape
    return values[:, :, None].expand(batch, count, times, columns, width).reshape(batch, -1, columns, width)
