"""GRU4Rec: a recurrent network over a history (Hidasi et al., 2016)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from illmrec.models.sequence import Histories, read_histories


class Gru4Rec(nn.Module):
    """Gated recurrent units over item embeddings; an item's score is a dot product with its embedding.

    Differs from the paper: items are scored by the embeddings they are read by, and a whole history is read at a time
    instead of parallel mini-batches of sessions.

    Args:
        n_items: size of the catalog.
        width: embedding width and width of the recurrent state.
        layers: recurrent layers.
        max_length: most recent items read.
        dropout: dropout share, of the embeddings and between layers.
    """

    def __init__(self, n_items: int, width: int, layers: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.max_length = max_length
        self.items = nn.Embedding(n_items + 1, width, padding_idx=0)
        self.drop = nn.Dropout(dropout)
        self.recurrent = nn.GRU(width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.project = nn.Linear(width, width)
        nn.init.normal_(self.items.weight, std=0.02)
        with torch.no_grad():
            self.items.weight[0].zero_()

    def forward(self, histories: Tensor) -> Tensor:
        """Return ``float32 [B, T, width]``: the state after each item, zeros where there is none.

        Args:
            histories: ``int64 [B, T]``: item index + 1, padded with 0 on the left.
        """
        # A state must not depend on padding read before the first item: each row is turned until its items come first.
        empty = (histories == 0).sum(1, keepdim=True)
        columns = torch.arange(histories.shape[1], device=histories.device)
        turned = histories.gather(1, (columns + empty) % histories.shape[1])
        scale = self.items.embedding_dim**0.5
        states, _ = self.recurrent(self.drop(self.items(turned) * scale))
        back = ((columns - empty) % histories.shape[1])[..., None].expand_as(states)
        projected: Tensor = self.project(states.gather(1, back))
        return projected.masked_fill((histories == 0)[..., None], 0.0)

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
        return np.asarray(self.item_table().detach().cpu().numpy())
