"""SVG as escaped markup: elements, axes and their ticks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


def element(tag: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """Return one element; text children and attribute values are escaped.

    Attribute names are written with ``_`` for ``-``; ``class_`` is ``class``.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _shorten(value))
        for name, value in attributes.items()
    )
    # The tag is a literal of this package; everything else passes through escape.
    return Markup(f"<{tag}") + written + Markup(">") + Markup("").join(map(escape, children)) + Markup(f"</{tag}>")  # noqa: S704


def draw_figure(width: float, height: float, label: str, *children: Markup, class_: str = "chart") -> Markup:
    """Return the ``svg`` element that scales with the page; ``label`` is what a screen reader says."""
    box = f"0 0 {width:g} {height:g}"
    return element("svg", *children, viewBox=box, role="img", aria_label=label, class_=class_)


def _shorten(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


@dataclass(frozen=True)
class Axis:
    """Maps values to pixels.

    Args:
        low: smallest value.
        high: largest value.
        start: pixel of ``low``.
        end: pixel of ``high``.
        log: logarithmic; ``low`` must be positive then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * ((at - low) / (high - low))

    def ticks(self, count: int = 5) -> list[float]:
        """Return round values within the axis, about ``count`` of them."""
        return log_ticks(self.low, self.high) if self.log else linear_ticks(self.low, self.high, count)


def make_axis(values: list[float], start: float, end: float, *, log: bool = False, zero: bool = False) -> Axis:
    """Return an axis that spans ``values`` with round ends; ``zero`` makes it begin (or end) at zero.

    A logarithmic axis needs positive values; where there are others, the axis is linear.
    """
    low, high = min(values), max(values)
    if log and low > 0:
        return Axis(low / 1.1, high * 1.1, start, end, log=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = _round_step(high - low, 5)
    return Axis(math.floor(low / step) * step, math.ceil(high / step) * step, start, end)


def linear_ticks(low: float, high: float, count: int) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten from ``low`` to ``high``."""
    step = _round_step(high - low, count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten from ``low`` to ``high``; only the powers where those are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(exponents) <= 4 else (1,)
    ticks = [factor * 10.0**exponent for exponent in exponents for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def count_decimals(ticks: Sequence[float]) -> int:
    """Return how many decimals tell linear ticks apart."""
    steps = [abs(later - earlier) for earlier, later in itertools.pairwise(ticks)]
    return max(0, -math.floor(math.log10(min(steps)) + 1e-9)) if steps else 2


def _round_step(span: float, count: int) -> float:
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
