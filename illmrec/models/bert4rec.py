"""BERT4Rec: a bidirectional transformer that fills in hidden items of a history (Sun et al., 2019)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from illmrec.models.sequence import Histories, read_histories


class Bert4Rec(nn.Module):
    """Bidirectional transformer; the next item is a hidden one after the history's last.

    Row ``n_items + 1`` of the embedding table stands for a hidden item. An item's score is a dot product with its
    embedding.

    Differs from the paper: normalisation stands before attention and feed-forward, and the output has no bias per item.

    Args:
        n_items: size of the catalog.
        width: embedding width.
        blocks: transformer blocks.
        heads: attention heads.
        max_length: places of the transformer, one of them for the hidden item: one item fewer is read.
        dropout: dropout share.
    """

    def __init__(self, n_items: int, width: int, blocks: int, heads: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.max_length = max_length
        self.hidden = n_items + 1
        self.items = nn.Embedding(n_items + 2, width, padding_idx=0)
        self.places = nn.Embedding(max_length, width)
        self.enter = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout))
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 4 * width, dropout, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            self.items.weight[0].zero_()

    def forward(self, histories: Tensor) -> Tensor:
        """Return ``float32 [B, T, width]``: the state of each place.

        Args:
            histories: ``int64 [B, T]``: item index + 1, or :attr:`hidden`, padded with 0 on the left; at least one
                place of each row is no padding.
        """
        size = histories.shape[1]
        places = torch.arange(self.max_length - size, self.max_length, device=histories.device)
        states = self.enter(self.items(histories) + self.places(places))
        padding = torch.zeros(histories.shape, device=states.device, dtype=states.dtype)
        padding = padding.masked_fill(histories == 0, -torch.inf)
        for block in self.blocks:
            states = block(states, src_key_padding_mask=padding)
        left: Tensor = self.leave(states)
        return left

    def represent_users(self, histories: Histories, batch_size: int = 512) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the state of a hidden item after each history."""
        self.eval()

        def encode(padded: Tensor) -> Tensor:
            states: Tensor = self(functional.pad(padded, (0, 1), value=self.hidden))
            return states[:, -1]

        return read_histories(encode, histories, self.max_length - 1, batch_size, self.items.weight.device)

    def item_table(self) -> Tensor:
        """Return ``float32 [n_items, width]``: the item embeddings, for training."""
        return self.items.weight[1 : self.hidden]

    def represent_items(self) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, width]``: the item embeddings."""
        return np.asarray(self.item_table().detach().cpu().numpy())
