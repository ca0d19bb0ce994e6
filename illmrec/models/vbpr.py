"""VBPR: matrix factorisation that also sees the items' pictures (He and McAuley, 2016)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class Vbpr(nn.Module):
    """Users and items as vectors; an item has a second vector made of its picture's feature.

    ``s(u, i) = b_i + p_u . q_i + t_u . E x_i + b . x_i`` (paper, equation 4; terms that are the same for all items of a
    user are left out). Without features it is matrix factorisation with an item bias, BPR-MF.

    Args:
        n_users: number of users.
        n_items: size of the catalog.
        width: width of ``p`` and ``q``.
        features: ``float32 [n_items, f]``: ``x``; None for none.
        visual_width: width of ``t`` and ``E x``; without use when there are no features.
    """

    features: Tensor | None

    def __init__(
        self, n_users: int, n_items: int, width: int, features: Tensor | None = None, visual_width: int = 0
    ) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(n_users, width), nn.Embedding(n_items, width)
        self.bias = nn.Embedding(n_items, 1)
        self.register_buffer("features", features, persistent=False)
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)
        nn.init.zeros_(self.bias.weight)
        if features is not None:
            self.visual_users = nn.Embedding(n_users, visual_width)
            self.project = nn.Linear(features.shape[1], visual_width, bias=False)
            self.visual_bias = nn.Linear(features.shape[1], 1, bias=False)
            nn.init.normal_(self.visual_users.weight, std=0.1)
            nn.init.zeros_(self.visual_bias.weight)

    def describe_users(self, users: Tensor) -> Tensor:
        """Return ``float32 [*, d]``: vectors of users ``int64 [*]``; a score is their product with an item's."""
        parts = [self.users(users)]
        if self.features is not None:
            parts.append(self.visual_users(users))
        return functional.pad(torch.cat(parts, dim=-1), (0, 1), value=1.0)

    def describe_items(self, items: Tensor) -> Tensor:
        """Return ``float32 [*, d]``: vectors of items ``int64 [*]``, the bias last."""
        parts, bias = [self.items(items)], self.bias(items)
        if self.features is not None:
            pictures = self.features[items]
            parts.append(self.project(pictures))
            bias = bias + self.visual_bias(pictures)
        return torch.cat([*parts, bias], dim=-1)

    @torch.inference_mode()
    def represent_users(self) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_users, d]``; no history is read, so these are the same for every target."""
        users = torch.arange(self.users.num_embeddings, device=self.users.weight.device)
        return np.asarray(self.describe_users(users).cpu().numpy())

    @torch.inference_mode()
    def represent_items(self) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, d]``."""
        items = torch.arange(self.items.num_embeddings, device=self.items.weight.device)
        return np.asarray(self.describe_items(items).cpu().numpy())
