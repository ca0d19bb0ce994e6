"""Pictures show their style: alike within a style, never identical, and damaged ones do not decode."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from illmrec.samples.pictures import HTML_ERROR_PAGE, SIZE, cut_short, draw_picture, draw_pose
from illmrec.samples.styles import STYLES, Style
from illmrec.seeds import generator

GROUND = (240, 240, 236)


def draw(style: Style, number: int) -> bytes:
    rng = generator("test", style.words, number)
    return draw_picture(style, GROUND, draw_pose(rng), rng)


def decode(picture: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(picture), formats=["JPEG"]) as image:
        return np.asarray(image, dtype=np.float64)


def describe(picture: bytes) -> np.ndarray:
    """Colour of the motif and its layout around its own centre, blind to place, size and background."""
    pixels = decode(picture)
    inside = (pixels.max(axis=2) - pixels.min(axis=2)) > 45
    rows, columns = np.nonzero(inside)
    radius = np.hypot(rows - rows.mean(), columns - columns.mean())
    profile = np.histogram(radius / radius.max(), bins=8, range=(0, 1))[0] / (np.arange(8) + 0.5)
    light = (pixels[inside].min(axis=1) > 120).mean()
    colour = pixels[inside].mean(axis=0) / pixels[inside].mean()
    return np.concatenate([2 * colour, profile / profile.sum() * 4, [3 * light]])


def test_a_picture_is_a_small_rgb_jpeg_and_repeats_bit_for_bit() -> None:
    assert decode(draw(STYLES[0], 0)).shape == (SIZE, SIZE, 3)
    assert draw(STYLES[0], 0) == draw(STYLES[0], 0)
    assert max(len(draw(style, 0)) for style in STYLES) < 6_000


def test_pictures_of_one_style_differ() -> None:
    assert len({draw(STYLES[3], number) for number in range(20)}) == 20


def test_the_style_can_be_read_off_the_picture() -> None:
    known = np.stack([np.mean([describe(draw(style, n)) for n in range(8)], axis=0) for style in STYLES])
    unseen = [(index, describe(draw(style, n))) for index, style in enumerate(STYLES) for n in range(100, 104)]
    right = [int(np.abs(known - features).sum(axis=1).argmin()) == index for index, features in unseen]
    assert np.mean(right) > 0.8


def test_damaged_pictures_do_not_decode() -> None:
    with pytest.raises(OSError, match="truncated"):
        decode(cut_short(draw(STYLES[0], 0)))
    with pytest.raises(OSError, match="cannot identify"):
        decode(HTML_ERROR_PAGE)
