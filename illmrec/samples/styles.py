"""The visible styles of synthetic items: shape x colour x pattern.

A style is what the picture shows and what decides a user's next item, see :mod:`illmrec.samples.world`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SHAPES = ("disc", "triangle", "ring", "cross")
COLOURS = ("red", "green", "blue")
PATTERNS = ("plain", "striped")


@dataclass(frozen=True)
class Style:
    """What a picture shows."""

    shape: str
    colour: str
    pattern: str

    @property
    def words(self) -> str:
        """The style as a text would name it, such as ``striped red ring``."""
        return f"{self.pattern} {self.colour} {self.shape}"


STYLES = tuple(Style(*parts) for parts in itertools.product(SHAPES, COLOURS, PATTERNS))


def count_shared_attributes() -> npt.NDArray[np.int64]:
    """Return int64 [styles, styles]: how many of shape, colour and pattern two styles share, 0 to 3."""
    sizes = (len(SHAPES), len(COLOURS), len(PATTERNS))
    codes = np.stack(np.unravel_index(np.arange(len(STYLES)), sizes), axis=1)
    shared: npt.NDArray[np.int64] = (codes[:, None, :] == codes[None, :, :]).sum(axis=2, dtype=np.int64)
    return shared
