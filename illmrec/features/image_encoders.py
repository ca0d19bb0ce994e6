"""Models that turn pictures into features: open_clip (picture and text towers) and timm (pictures only)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from illmrec.errors import ModelError

Rgb = tuple[float, float, float]

_SAFE_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
"""The names open_clip looks for first; after them it would take files in formats that can run code."""


class ImageEncoder(Protocol):
    """A picture encoder; ``encode_texts`` works only where ``has_text_tower`` is true."""

    width: int
    has_text_tower: bool

    def encode_images(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of RGB pictures."""

    def encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of texts in the space of the pictures."""


class OpenClipEncoder:
    """Both towers of an open_clip model in a local folder.

    Args:
        folder: holds ``open_clip_config.json``, the weights as safetensors and the tokenizer's files; what
            open_clip reads as ``local-dir:`` and what the hub's snapshots of SigLIP and CLIP contain.
        device: torch device.

    Raises:
        ModelError: when the folder is not such a model, or has its weights only in a format that can run code.
    """

    has_text_tower = True

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        import open_clip
        from safetensors import SafetensorError

        if not any((folder / name).is_file() for name in _SAFE_WEIGHTS):
            hint = "Take a revision of the model that has its weights as safetensors."
            raise ModelError(f"holds none of {', '.join(_SAFE_WEIGHTS)}.", path=folder, hint=hint)
        name = f"local-dir:{folder}"
        # open_clip logs every loading step on the root logger.
        logging.getLogger().setLevel(max(logging.WARNING, logging.getLogger().level))
        try:
            model, preprocess = open_clip.create_model_from_pretrained(name, device=device)
            tokenizer = open_clip.get_tokenizer(name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"is not a readable open_clip model: {error!r}", path=folder) from None
        self._model = model.eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._device = device
        self.width = int(self.encode_texts([""]).shape[1])

    @torch.inference_mode()
    def encode_images(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the picture tower's output, before any normalisation."""
        batch = torch.stack([self._preprocess(picture) for picture in pictures]).to(self._device)
        return np.asarray(self._model.encode_image(batch).float().cpu().numpy(), dtype=np.float32)

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the text tower's output, before any normalisation."""
        tokens = self._tokenizer(texts).to(self._device)
        return np.asarray(self._model.encode_text(tokens).float().cpu().numpy(), dtype=np.float32)


class TimmEncoder:
    """Pooled features of a timm architecture with a local weights file.

    Pictures are squashed to a square with bicubic resampling.

    Args:
        architecture: name known to timm.
        weights: safetensors file with the architecture's own state.
        image_size: pixels per side; default from the architecture.
        mean: channel means on the 0..1 scale; default from the architecture.
        std: channel deviations on the 0..1 scale; default from the architecture.
        arguments: further arguments of the architecture.
        device: torch device.

    Raises:
        ModelError: when timm does not know the architecture or the weights do not fit it.
    """

    has_text_tower = False

    def __init__(
        self,
        architecture: str,
        weights: Path,
        *,
        image_size: int | None = None,
        mean: Rgb | None = None,
        std: Rgb | None = None,
        arguments: Mapping[str, Any] | None = None,
        device: str = "cpu",
    ) -> None:
        import timm
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            model: Any = timm.create_model(architecture, pretrained=False, **(arguments or {}))
            model.load_state_dict(load_file(weights))
        except (OSError, RuntimeError, TypeError, SafetensorError) as error:
            hint = "Check encoders.image: name, weights and arguments must describe one model."
            raise ModelError(f"does not fit {architecture!r}: {error}", path=weights, hint=hint) from None
        self._model = model.eval().to(device)
        defaults = model.pretrained_cfg
        self._size = image_size or int(defaults["input_size"][-1])
        self._mean = torch.tensor(mean or defaults["mean"]).view(3, 1, 1)
        self._std = torch.tensor(std or defaults["std"]).view(3, 1, 1)
        self._device = device
        self.width = int(self.encode_images([Image.new("RGB", (self._size, self._size))]).shape[1])

    @torch.inference_mode()
    def encode_images(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: pooled features before the classifier."""
        batch = torch.stack([self._to_tensor(picture) for picture in pictures]).to(self._device)
        features = self._model.forward_head(self._model.forward_features(batch), pre_logits=True)
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    def encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Refuse: a timm model has no text tower.

        Raises:
            ModelError: always.
        """
        hint = "Set embed_images.missing to `mean`."
        raise ModelError(f"this encoder cannot read text ({len(texts)} items lack a picture).", hint=hint)

    def _to_tensor(self, picture: Image.Image) -> torch.Tensor:
        squashed = picture.resize((self._size, self._size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(squashed, dtype=np.float32) / 255.0).permute(2, 0, 1)
        return (pixels - self._mean) / self._std
