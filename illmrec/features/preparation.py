"""From a decoded picture to the numbers an encoder reads: resize, crop, scale, normalise.

NumPy and Pillow only, so that a process that decodes pictures starts fast and needs no torch. The results are bit for
bit those of the transforms that open_clip builds for inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

Rgb = tuple[float, float, float]

RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Preparation:
    """How one encoder wants its pictures."""

    height: int
    """Pixels from top to bottom after preparation."""
    width: int
    """Pixels from left to right after preparation."""
    mean: Rgb
    """Channel means on the 0..1 scale."""
    std: Rgb
    """Channel deviations on the 0..1 scale."""
    fit: Literal["squash", "shortest", "longest"] = "squash"
    """``squash`` ignores the shape; ``shortest`` keeps it and cuts the longer side; ``longest`` keeps it and pads."""
    resampling: Literal["bicubic", "bilinear"] = "bicubic"
    """Filter of the resizing."""
    fill: int = 0
    """Grey value of the padding."""
    shrunk_side: int | None = None
    """Pictures whose longer side has more pixels are first shrunk to so many; None to take them as they are."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a prepared picture: channels, height, width."""
        return 3, self.height, self.width

    def prepare(self, picture: Image.Image, out: npt.NDArray[np.float32]) -> None:
        """Write an RGB picture's values into ``out``, ``float32 [3, height, width]``."""
        fitted = np.asarray(self.fit_picture(picture), dtype=np.uint8).transpose(2, 0, 1)
        np.divide(fitted, np.float32(255), out=out)
        out -= np.array(self.mean, dtype=np.float32).reshape(3, 1, 1)
        out /= np.array(self.std, dtype=np.float32).reshape(3, 1, 1)

    def prepare_all(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, 3, height, width]`` of RGB pictures."""
        pixels = np.empty((len(pictures), *self.shape), dtype=np.float32)
        for picture, out in zip(pictures, pixels, strict=True):
            self.prepare(picture, out)
        return pixels

    def fit_picture(self, picture: Image.Image) -> Image.Image:
        """Return the picture at exactly ``width`` x ``height`` pixels."""
        if self.shrunk_side is not None and max(picture.size) > self.shrunk_side:
            picture = picture.copy()
            picture.thumbnail((self.shrunk_side, self.shrunk_side), Image.Resampling.BOX)
        if self.fit == "squash":
            return picture.resize((self.width, self.height), RESAMPLING[self.resampling])
        return self._crop_or_pad(picture.resize(self._measure(picture), self._pick_filter()))

    def _measure(self, picture: Image.Image) -> tuple[int, int]:
        """Return the width and height that keep the picture's shape."""
        wide, high = picture.size
        if self.fit == "shortest" and self.width == self.height:
            # Rounded down, as torchvision does it for a square target.
            if wide <= high:
                return self.width, int(self.width * high / wide)
            return int(self.width * wide / high), self.width
        ratios = high / self.height, wide / self.width
        ratio = max(ratios) if self.fit == "longest" else min(ratios)
        return max(1, round(wide / ratio)), max(1, round(high / ratio))

    def _pick_filter(self) -> Image.Resampling:
        # open_clip resizes to a target that is not square with its default filter, whatever the model asks for.
        plain = self.fit == "shortest" and self.width != self.height
        return RESAMPLING["bicubic" if plain else self.resampling]

    def _crop_or_pad(self, picture: Image.Image) -> Image.Image:
        wide, high = picture.size
        if wide < self.width or high < self.height:
            left, top = max(0, (self.width - wide) // 2), max(0, (self.height - high) // 2)
            padded = Image.new("RGB", (max(wide, self.width), max(high, self.height)), (self.fill,) * 3)
            padded.paste(picture, (left, top))
            picture, (wide, high) = padded, padded.size
        # Python rounds halves to even numbers; the transforms that models were trained with do the same.
        left, top = round((wide - self.width) / 2.0), round((high - self.height) / 2.0)
        return picture.crop((left, top, left + self.width, top + self.height))
