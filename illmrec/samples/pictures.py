"""Pictures of styles: alike within a style, never identical.

A picture is one motif on a soft background. Place, size, turn, tint, light and grain vary with the generator.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from illmrec.samples.styles import Style

SIZE = 96
"""Pixels per side."""
QUALITY = 80

Floats = npt.NDArray[np.float64]
Colour = tuple[int, int, int]

_PAINTS: dict[str, Colour] = {
    "red": (206, 42, 48),
    "green": (38, 142, 66),
    "blue": (36, 74, 190),
}
_STRIPES_PER_UNIT = 3.5
_GRAIN = 3.0

HTML_ERROR_PAGE = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
"""What a download tool saves under a picture's name when the picture is gone."""


@dataclass(frozen=True)
class Pose:
    """Where and how the motif lies: centre and radius as shares of the picture's side, turn in radians."""

    x: float
    y: float
    radius: float
    turn: float

    def move(self, dx: float, dy: float, growth: float, turn: float) -> Pose:
        """Return the pose a little later, as in the next frame of a video."""
        return Pose(self.x + dx, self.y + dy, self.radius * growth, self.turn + turn)


def draw_pose(rng: np.random.Generator) -> Pose:
    """Return a random pose near the middle."""
    x, y = rng.uniform(0.42, 0.58, 2)
    return Pose(float(x), float(y), float(rng.uniform(0.24, 0.34)), float(rng.uniform(-0.25, 0.25)))


def draw_picture(style: Style, background: Colour, pose: Pose, rng: np.random.Generator) -> bytes:
    """Return a JPEG of ``style`` on ``background``; ``rng`` varies tint, light and grain."""
    u, v = _motif_coordinates(pose)
    cover = _soft_edge(_distance(style.shape, u, v), pose.radius)[:, :, None]
    paint = np.asarray(_PAINTS[style.colour], dtype=np.float64) + rng.normal(0.0, 10.0, 3)
    motif = np.broadcast_to(paint, (SIZE, SIZE, 3))
    if style.pattern == "striped":
        light = (np.floor((u + v) * _STRIPES_PER_UNIT + rng.random()) % 2)[:, :, None]
        motif = motif + light * 0.75 * (255.0 - motif)
    ground = np.asarray(background, dtype=np.float64) + rng.normal(0.0, 6.0, 3)
    slope = np.linspace(-1.0, 1.0, SIZE)[:, None, None] * rng.uniform(-18.0, 18.0)
    picture = ground + slope + cover * (motif - ground - slope)
    picture += rng.normal(0.0, _GRAIN, (SIZE, SIZE, 1))
    return _encode(np.clip(picture, 0.0, 255.0).astype(np.uint8))


def cut_short(picture: bytes) -> bytes:
    """Return the first 60% of a picture's bytes, as an interrupted download leaves it."""
    return picture[: len(picture) * 6 // 10]


def _motif_coordinates(pose: Pose) -> tuple[Floats, Floats]:
    """Return float64 [SIZE, SIZE] twice: coordinates in which the motif is upright with radius 1."""
    axis = (np.arange(SIZE) + 0.5) / SIZE
    x, y = (axis[None, :] - pose.x) / pose.radius, (axis[:, None] - pose.y) / pose.radius
    cosine, sine = np.cos(pose.turn), np.sin(pose.turn)
    return cosine * x + sine * y, cosine * y - sine * x


def _distance(shape: str, u: Floats, v: Floats) -> Floats:
    """Return float64 [SIZE, SIZE]: how far outside ``shape`` a point lies, negative inside."""
    if shape == "disc":
        return np.hypot(u, v) - 0.95
    if shape == "ring":
        return np.abs(np.hypot(u, v) - 0.75) - 0.25
    if shape == "triangle":
        return np.maximum(np.abs(u) * 0.866 - v * 0.5, v) - 0.55
    upright = np.maximum(np.abs(u) - 0.33, np.abs(v) - 1.0)
    level = np.maximum(np.abs(u) - 1.0, np.abs(v) - 0.33)
    return np.minimum(upright, level)


def _soft_edge(distance: Floats, radius: float) -> Floats:
    """Return float64 [SIZE, SIZE]: 1 inside, 0 outside, blended over one pixel."""
    inside: Floats = np.clip(0.5 - distance * radius * SIZE, 0.0, 1.0)
    return inside


def _encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=QUALITY, subsampling=2, optimize=False, progressive=False)
    return buffer.getvalue()
