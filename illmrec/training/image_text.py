"""A small SigLIP-style image-text model, trained on a catalog's own pictures and texts through open_clip.

It stands in where no pretrained weights can be had. What is saved is an ordinary open_clip folder, so everything after
this stage takes the same path as with SigLIP from the hub.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from PIL import Image
from torch import Tensor

from illmrec.progress import track
from illmrec.seeds import generator
from illmrec.training.seeding import seed_everything

_ARCHITECTURE = "illmrec-small-siglip"
_MEAN = _STD = (0.5, 0.5, 0.5)
_SHIFT = 4


@dataclass(frozen=True)
class ImageTextSettings:
    """Size and training of the model; see :class:`pipelines.parameters.features.SmallImageTextConfig`."""

    image_size: int
    patch_size: int
    width: int
    layers: int
    context: int
    steps: int
    batch_size: int
    learning_rate: float
    seed: int


def train_image_text(
    folder: Path, pictures: Sequence[Image.Image], texts: Sequence[str], tokenizer: Any, settings: ImageTextSettings
) -> list[float]:
    """Train both towers on pairs and save them with their tokenizer below ``folder``; return the loss per step.

    Args:
        folder: existing folder to fill.
        pictures: RGB pictures.
        texts: text of each picture's item.
        tokenizer: transformers tokenizer with a padding token.
        settings: size and training.
    """
    import open_clip
    from open_clip.loss import SigLipLoss

    config = _architecture(settings, len(tokenizer), tokenizer.pad_token_id)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": _preprocessing()}))
    tokenizer.save_pretrained(folder)
    seed_everything(settings.seed)
    open_clip.add_model_config(_write_architecture(folder, config))
    # It warns that the weights are random, which is what training starts from.
    logging.disable(logging.WARNING)
    model = open_clip.create_model(_ARCHITECTURE, output_dict=True)
    logging.disable(logging.NOTSET)
    (folder / f"{_ARCHITECTURE}.json").unlink()
    pixels = torch.stack([_to_pixels(picture, settings.image_size) for picture in pictures])
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(texts))
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.steps)
    loss_of, losses = SigLipLoss(), []
    model.train()
    for step in track(range(settings.steps), "image-text model", unit="step"):
        rng = generator(settings.seed, "image-text", step)
        rows = torch.from_numpy(rng.permutation(len(pixels))[: settings.batch_size])
        outputs = model(_augment(pixels[rows], rng), tokens[rows])
        loss = loss_of(**outputs)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    _save_weights(folder, model)
    return losses


def _architecture(settings: ImageTextSettings, vocabulary: int, padding: int) -> dict[str, Any]:
    heads = max(1, settings.width // 32)
    return {
        "embed_dim": settings.width,
        "init_logit_scale": float(np.log(10.0)),
        "init_logit_bias": -10.0,
        "custom_text": True,
        "vision_cfg": {
            "image_size": settings.image_size,
            "patch_size": settings.patch_size,
            "width": settings.width,
            "layers": settings.layers,
            "head_width": settings.width // heads,
            "pool_type": "avg",
            "final_ln_after_pool": True,
        },
        "text_cfg": {
            "context_length": settings.context,
            "vocab_size": vocabulary,
            "hf_tokenizer_name": "local",
            "tokenizer_kwargs": {"clean": "whitespace"},
            "width": settings.width,
            "heads": heads,
            "layers": 2,
            "pad_id": padding,
            "no_causal_mask": True,
            "pool_type": "last",
            "proj_bias": True,
        },
    }


def _preprocessing() -> dict[str, Any]:
    return {"mean": _MEAN, "std": _STD, "interpolation": "bicubic", "resize_mode": "squash"}


def _write_architecture(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / f"{_ARCHITECTURE}.json"
    path.write_text(json.dumps(config))
    return path


def _to_pixels(picture: Image.Image, size: int) -> Tensor:
    squashed = picture.resize((size, size), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.asarray(squashed, dtype=np.float32) / 255.0).permute(2, 0, 1)
    return (pixels - _MEAN[0]) / _STD[0]


def _augment(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Shift the whole batch by a few pixels and mirror it half of the time."""
    size = pixels.shape[-1]
    padded = functional.pad(pixels, [_SHIFT] * 4, mode="replicate")
    top, left = (int(value) for value in rng.integers(0, 2 * _SHIFT + 1, 2))
    moved = padded[:, :, top : top + size, left : left + size]
    return moved.flip(-1) if rng.random() < 0.5 else moved


def _save_weights(folder: Path, model: torch.nn.Module) -> None:
    from safetensors.torch import save_file

    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
