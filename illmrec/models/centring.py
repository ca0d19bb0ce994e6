"""First layers that learn from features less their mean, and end as ordinary layers.

Features of one catalog have much in common: outputs of a convolutional network, for one, are never negative. A layer
must unlearn that before it sees what tells items apart. Here it reads ``x - c`` in training. As
``W (x - c) + b = W x + (b - W c)``, a trained layer is published as an ordinary one with the bias ``b - W c``: whatever
reads a model afterwards knows nothing of centres, and an item that comes later changes nothing about the items that are
there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class FirstLayer(nn.Linear):
    """Linear layer over features, an ordinary one unless ``centre`` is set.

    Attributes:
        centre: ``float32 [width]``: what is taken off each feature; None for nothing. Not part of the state.
    """

    centre: Tensor | None

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__(width, outputs)
        self.register_buffer("centre", None, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return ``float32 [*, outputs]`` from features ``float32 [*, width]``."""
        bias = self.bias if self.centre is None else self.bias - self.weight @ self.centre
        return functional.linear(features, self.weight, bias)


def set_centre(model: nn.Module, centre: Tensor) -> None:
    """Let a model read features less ``centre``, ``float32 [width]``, from now on."""
    for layer in model.modules():
        if isinstance(layer, FirstLayer):
            layer.centre = centre


def fold_state(model: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a model's trained ``tensors``, by name, as those of an equal model without centres.

    The sums are those of :meth:`FirstLayer.forward`, on the same device, so outputs are the same to the last bit.
    """
    folded = dict(tensors)
    for name, centre in _find_centres(model).items():
        weight, bias = (tensors[f"{name}.{part}"] for part in ("weight", "bias"))
        folded[f"{name}.bias"] = (bias.to(centre.device) - weight.to(centre.device) @ centre).to(bias.device)
    return folded


@torch.no_grad()
def unfold_layers(model: nn.Module, names: Collection[str]) -> None:
    """Change centred layers that were given tensors of ordinary ones, so that they do what those did.

    Args:
        model: the model.
        names: the tensors that were given; a layer whose weight and bias are not both among them is left alone.
    """
    layers = dict(model.named_modules())
    for name, centre in _find_centres(model).items():
        if {f"{name}.weight", f"{name}.bias"} <= set(names):
            layer = layers[name]
            layer.bias += layer.weight @ centre


def _find_centres(model: nn.Module) -> dict[str, Tensor]:
    """Return the centre of each layer that has one, by the layer's name."""
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, FirstLayer)}
    return {name: layer.centre for name, layer in layers.items() if layer.centre is not None}
