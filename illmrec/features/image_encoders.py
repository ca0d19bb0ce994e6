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
from illmrec.features.preparation import Preparation, Rgb

_SAFE_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")
"""The names open_clip looks for first; after them it would take files in formats that can run code."""


class ImageEncoder(Protocol):
    """A picture encoder; ``encode_texts`` works only where ``has_text_tower`` is true."""

    width: int
    has_text_tower: bool
    preparation: Preparation

    def encode_pixels(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of prepared pictures, ``float32 [n, 3, height, width]``."""

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
            model = open_clip.create_model_from_pretrained(name, device=device, return_transform=False)
            tokenizer = open_clip.get_tokenizer(name)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"is not a readable open_clip model: {error!r}", path=folder) from None
        self._model = model.eval()
        self.preparation = _read_preparation(open_clip.get_model_preprocess_cfg(model))
        self._tokenizer = tokenizer
        self._device = device
        self.width = int(self.encode_texts([""]).shape[1])

    def encode_images(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: the picture tower's output, before any normalisation."""
        return self.encode_pixels(self.preparation.prepare_all(pictures))

    @torch.inference_mode()
    def encode_pixels(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of prepared pictures, ``float32 [n, 3, height, width]``."""
        batch = torch.from_numpy(pixels).to(self._device)
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
        size = image_size or int(defaults["input_size"][-1])
        self.preparation = Preparation(size, size, tuple(mean or defaults["mean"]), tuple(std or defaults["std"]))
        self._device = device
        self.width = int(self.encode_pixels(np.zeros((1, *self.preparation.shape), dtype=np.float32)).shape[1])

    def encode_images(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``: pooled features before the classifier."""
        return self.encode_pixels(self.preparation.prepare_all(pictures))

    @torch.inference_mode()
    def encode_pixels(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of prepared pictures, ``float32 [n, 3, height, width]``."""
        batch = torch.from_numpy(pixels).to(self._device)
        features = self._model.forward_head(self._model.forward_features(batch), pre_logits=True)
        return np.asarray(features.float().cpu().numpy(), dtype=np.float32)

    def encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Refuse: a timm model has no text tower.

        Raises:
            ModelError: always.
        """
        hint = "Set embed_images.missing to `mean`."
        raise ModelError(f"this encoder cannot read text ({len(texts)} items lack a picture).", hint=hint)


def _read_preparation(settings: Mapping[str, Any]) -> Preparation:
    """Turn what open_clip stores with a model (its ``PreprocessCfg``) into a preparation."""
    size, mean, std = settings["size"], settings["mean"], settings["std"]
    height, width = (size, size) if isinstance(size, int) else size
    return Preparation(
        int(height),
        int(width),
        tuple(mean) if isinstance(mean, (list, tuple)) else (mean,) * 3,
        tuple(std) if isinstance(std, (list, tuple)) else (std,) * 3,
        fit=settings.get("resize_mode") or "shortest",
        # For inference open_clip reads every other name as bicubic.
        resampling="bilinear" if settings.get("interpolation") == "bilinear" else "bicubic",
        fill=int(settings.get("fill_color") or 0),
    )
