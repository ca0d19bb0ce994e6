"""SASRec: self-attentive sequential recommendation (Kang and McAuley, 2018), the source of the CF features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from illmrec.models.sequence import Histories, read_histories


class SasRec(nn.Module):
    """Causal transformer over item embeddings; an item's score is a dot product with its embedding.

    Args:
        n_items: size of the catalog.
        width: embedding width.
        blocks: self-attention blocks.
        heads: attention heads.
        max_length: most recent items read.
        dropout: dropout share.
    """

    def __init__(self, n_items: int, width: int, blocks: int, heads: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.max_length = max_length
        self.items = nn.Embedding(n_items + 1, width, padding_idx=0)
        self.places = nn.Embedding(max_length, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(blocks))
        self.last_norm = nn.LayerNorm(width, eps=1e-8)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            self.items.weight[0].zero_()

    def forward(self, histories: Tensor) -> Tensor:
        """Return ``float32 [B, T, width]``: the state after each item.

        Args:
            histories: ``int64 [B, T]``: item index + 1, padded with 0 on the left.
        """
        padding = (histories == 0)[..., None]
        size = histories.shape[1]
        places = torch.arange(self.max_length - size, self.max_length, device=histories.device)
        states = self.items(histories) * self.items.embedding_dim**0.5 + self.places(places)
        states = self.drop(states).masked_fill(padding, 0.0)
        hidden = _hide_padding_and_future(histories == 0)
        for block in self.blocks:
            states = block(states, hidden).masked_fill(padding, 0.0)
        normed: Tensor = self.last_norm(states)
        return normed

    def represent_users(self, histories: Histories, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the state after each history's last item."""
        self.eval()
        device = self.items.weight.device
        return read_histories(lambda padded: self(padded)[:, -1], histories, self.max_length, batch_size, device)

    def item_table(self) -> Tensor:
        """Return ``float32 [n_items, width]``: the item embeddings, for training."""
        return self.items.weight[1:]

    def represent_items(self) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, width]``: the item embeddings."""
        return np.asarray(self.items.weight.detach()[1:].cpu().numpy())


class _Block(nn.Module):
    """Pre-normalised queries, residual attention, residual feed-forward, as in the published model."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, eps=1e-8)
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.forward_norm = nn.LayerNorm(width, eps=1e-8)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, width), nn.Dropout(dropout), nn.ReLU(), nn.Linear(width, width), nn.Dropout(dropout)
        )

    def forward(self, states: Tensor, hidden: Tensor) -> Tensor:
        """Return ``float32 [B, T, width]`` after one block.

        Args:
            states: ``float32 [B, T, width]``.
            hidden: ``bool [B, T, T]``: True where the query (second axis) may not see the key (third axis).
        """
        queries = self.attention_norm(states)
        mask = hidden.repeat_interleave(self.heads, dim=0)
        attended, _ = self.attention(queries, states, states, attn_mask=mask, need_weights=False)
        normed = self.forward_norm(queries + attended)
        result: Tensor = normed + self.feed_forward(normed)
        return result


def _hide_padding_and_future(padding: Tensor) -> Tensor:
    """Return ``bool [B, T, T]`` for :meth:`_Block.forward`, from ``bool [B, T]``: True where there is no item.

    A state so depends on the items only, not on how many places are left before them. Every place sees itself, without
    which the softmax of a padding place would have nothing to sum over.
    """
    size = padding.shape[1]
    future = torch.ones(size, size, dtype=torch.bool, device=padding.device).triu(1)
    itself = torch.eye(size, dtype=torch.bool, device=padding.device)
    return (future | padding[:, None, :]) & ~itself
