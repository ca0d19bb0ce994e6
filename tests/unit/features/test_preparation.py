"""Prepared pictures are bit for bit what open_clip's and timm's own transforms make of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import illmrec
from illmrec.features.image_encoders import _read_preparation
from illmrec.features.preparation import Preparation

assert illmrec.__version__  # open_clip needs what importing the package installs

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SIZES = [(64, 64), (64, 65), (65, 64), (640, 480), (31, 200), (200, 31), (7, 9), (1, 50), (129, 257), (1000, 63)]


def make_picture(size: tuple[int, int]) -> Image.Image:
    wide, high = size
    return Image.fromarray(np.random.default_rng(wide * high).integers(0, 256, (high, wide, 3)).astype(np.uint8))


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("target", [64, (64, 48), (33, 70)])
@pytest.mark.parametrize("fill", [0, 127])
def test_pixels_equal_those_of_open_clip(
    resize_mode: str, interpolation: str, target: int | tuple[int, int], fill: int
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    settings = PreprocessCfg(target, "RGB", MEAN, STD, interpolation, resize_mode, fill)
    theirs, ours = image_transform_v2(settings, is_train=False), _read_preparation(vars(settings))
    for size in SIZES:
        if resize_mode == "longest" and size in ((1, 50), (1000, 63)):
            continue  # too thin: open_clip may ask for a side of zero pixels
        picture = make_picture(size)
        expected = theirs(picture).numpy()
        assert ours.prepare_all([picture])[0].tobytes() == np.ascontiguousarray(expected).tobytes(), size


def test_pixels_equal_those_of_plain_torch_arithmetic() -> None:
    preparation = Preparation(48, 48, MEAN, STD)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    expected = []
    for size in SIZES:
        squashed = make_picture(size).resize((48, 48), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(squashed, dtype=np.float32) / 255.0).permute(2, 0, 1)
        expected.append((pixels - mean) / std)
    prepared = preparation.prepare_all([make_picture(size) for size in SIZES])
    assert prepared.tobytes() == torch.stack(expected).numpy().tobytes()


def test_a_hair_thin_picture_keeps_a_pixel() -> None:
    preparation = Preparation(16, 16, (0.0,) * 3, (1.0,) * 3, fit="longest", fill=255)
    prepared = preparation.prepare_all([Image.new("RGB", (4000, 1))])
    assert (prepared[0, 0] == 0.0).sum() == 16
    assert (prepared == 1.0).sum() == 3 * 15 * 16


def test_shrinking_loses_detail_and_only_shrinks() -> None:
    picture = make_picture((128, 64))
    whole = Preparation(32, 32, (0.0,) * 3, (1.0,) * 3)
    shrunk = dataclasses.replace(whole, shrunk_side=2)
    assert len(np.unique(shrunk.prepare_all([picture])[0, 0].round(4))) <= 64, "two pixels, blended over the width"
    assert shrunk.prepare_all([picture])[0, 0].std() < 0.3 * whole.prepare_all([picture])[0, 0].std()
    assert (
        dataclasses.replace(whole, shrunk_side=128).prepare_all([picture]).tobytes()
        == whole.prepare_all([picture]).tobytes()
    )
    assert picture.size == (128, 64), "the picture handed in stays as it is"
