"""The projection heads as one ONNX graph: user side and item side in a single file."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import Tensor, nn

from illmrec.models.projection import ProjectionHeads

HIDDEN = "hidden"
USERS, ITEMS = "users", "items"


class _BothSides(nn.Module):
    """Projects users and items at once; the two sides share no row and no weight."""

    def __init__(self, heads: ProjectionHeads) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, hidden: Tensor, features: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return ``[B, F * d]`` users and ``[n, F * d]`` items."""
        by_kind = dict(zip(self.heads.kinds, features, strict=True))
        return self.heads.project_users(hidden), self.heads.project_items(by_kind)


def export_heads(heads: ProjectionHeads, llm_width: int) -> bytes:
    """Return the ONNX file: inputs ``hidden`` and one per feature type, outputs ``users`` and ``items``.

    The number of users and the number of items are free and independent of each other. All weights are inside.

    Args:
        heads: trained heads, on the CPU.
        llm_width: width of the user representation.
    """
    widths = {kind: next(heads.item[kind].parameters()).shape[1] for kind in heads.kinds}
    hidden = torch.zeros(2, llm_width)
    features = [torch.zeros(3, width) for width in widths.values()]
    users, items = torch.export.Dim("n_users"), torch.export.Dim("n_items")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _BothSides(heads).eval(),
            (hidden, features),
            input_names=[HIDDEN, *heads.kinds],
            output_names=[USERS, ITEMS],
            dynamic_shapes=({0: users}, [{0: items} for _ in features]),
            dynamo=True,
            verbose=False,
        )
    content: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]  # dynamo=True returns one
    return content
