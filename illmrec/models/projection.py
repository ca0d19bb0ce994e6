"""Projection heads: user and item sides of every feature type, into one recommendation space (paper, 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from illmrec.models.centring import FirstLayer


def build_projector(width: int, shared_width: int) -> nn.Sequential:
    """Return one projector ``[n, width] -> [n, shared_width]``: Linear, LayerNorm, ReLU, Linear.

    The paper does not say how it is initialised. With torch's default the first scores are so large that they must be
    unlearned first; here the last layer starts so small that a score is of the order of 1.
    """
    last = nn.Linear(2 * shared_width, shared_width)
    nn.init.normal_(last.weight, std=shared_width**-0.75)
    nn.init.zeros_(last.bias)
    return nn.Sequential(FirstLayer(width, 2 * shared_width), nn.LayerNorm(2 * shared_width), nn.ReLU(), last)


class ProjectionHeads(nn.Module):
    """The 2F projectors.

    The sum of the F scores is one dot product of concatenated vectors, and its F slices are each type's exact share.

    Args:
        llm_width: width of the user representation h_u.
        widths: feature type -> width of its item features; the order is the order of the slices.
        shared_width: width d of the recommendation space per type; 512 in the paper.
        learned_weights: learn a positive weight for each type's score. They multiply the user side, so a score is still
            one dot product. Differs from the paper: there all types weigh the same.
    """

    def __init__(
        self, llm_width: int, widths: Mapping[str, int], shared_width: int, *, learned_weights: bool = False
    ) -> None:
        super().__init__()
        self.kinds = tuple(widths)
        self.shared_width = shared_width
        self.user = nn.ModuleDict({kind: build_projector(llm_width, shared_width) for kind in widths})
        self.item = nn.ModuleDict({kind: build_projector(width, shared_width) for kind, width in widths.items()})
        self.log_weights = nn.Parameter(torch.zeros(len(widths))) if learned_weights else None

    def project_users(self, hidden: Tensor) -> Tensor:
        """Return ``float32 [B, F * d]`` from user representations ``float32 [B, d_llm]``."""
        slices = [self.user[kind](hidden) for kind in self.kinds]
        if self.log_weights is not None:
            slices = [part * weight for part, weight in zip(slices, self.log_weights.exp(), strict=True)]
        return torch.cat(slices, dim=-1)

    def project_items(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return ``float32 [n, F * d]`` from item features, one ``float32 [n, d_f]`` per type."""
        return torch.cat([self.item[kind](features[kind]) for kind in self.kinds], dim=-1)

    def split_scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return ``float32 [..., F]``: the score of each user and item, per type; both ``float32 [..., F * d]``."""
        products = (users * items).unflatten(-1, (len(self.kinds), self.shared_width))
        shares: Tensor = products.sum(-1)
        return shares

    def split_all_scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Return ``float32 [N, n, F]``: the score of every user ``[N, F * d]`` and item ``[n, F * d]``, per type."""
        split = (len(self.kinds), self.shared_width)
        scores: Tensor = torch.einsum("ufd,ifd->uif", users.unflatten(-1, split), items.unflatten(-1, split))
        return scores
