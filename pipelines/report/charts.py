"""The report's charts, drawn as SVG without a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from illmrec.evaluation.summary import Estimate
from pipelines.report.figures import MODELS, signed
from pipelines.report.knockouts import KnockoutRow
from pipelines.report.results import MetricRow
from pipelines.report.slices import SliceRow
from pipelines.report.svg import Axis, count_decimals, draw_figure, element, make_axis

WIDTH, HEIGHT = 380.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 28.0, 38.0
MOST_POINTS = 240
"""Points drawn per line; longer curves are averaged."""
SHARES = ("image", "cf", "text")


@dataclass(frozen=True)
class Line:
    """One line of a chart: a name, the CSS class of its colour, and points (x, y) in order of x."""

    name: str
    colour: str
    points: tuple[tuple[float, float], ...]
    dots: bool = False


def thin_points(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> tuple[tuple[float, float], ...]:
    """Return at most ``most`` points: means of x and y over equal runs of points."""
    if len(points) <= most:
        return tuple(points)
    run = -(-len(points) // most)
    runs = [points[start : start + run] for start in range(0, len(points), run)]
    return tuple((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in runs)


def draw_lines(
    lines: Sequence[Line], label: str, x_label: str, *, log: bool = False, mark: float | None = None
) -> Markup:
    """Return a line chart with axes and a legend.

    Args:
        lines: at least one, each with at least one point.
        label: what the chart shows, read aloud by a screen reader.
        x_label: name of the horizontal axis.
        log: logarithmic vertical axis, where all values are positive.
        mark: x of a vertical line, the step that was kept.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    across = make_axis(xs, LEFT, WIDTH - RIGHT, zero=True)
    across = Axis(across.low, max(*xs, across.low + 1), LEFT, WIDTH - RIGHT)
    up = make_axis(ys, HEIGHT - BOTTOM, TOP, log=log, zero=not log)
    parts = [
        *_draw_up_axis(up),
        *_draw_across_axis(across, x_label),
        *_draw_legend([(line.name, line.colour) for line in lines]),
    ]
    if mark is not None:
        x = across.place(mark)
        parts.append(element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="mark"))
    for line in lines:
        placed = [(across.place(x), up.place(y)) for x, y in thin_points(line.points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(element("polyline", points=path, class_=f"line {line.colour}"))
        if line.dots or len(placed) == 1:
            parts += [element("circle", cx=x, cy=y, r=3, class_=f"dot {line.colour}") for x, y in placed]
    return draw_figure(WIDTH, HEIGHT, label, *parts)


def draw_columns(counts: Sequence[int], label: str, x_label: str, y_label: str) -> Markup:
    """Return a column per count, from 0 on, with both axes named.

    Args:
        counts: at least one; ``counts[j]`` is the height at j.
        label: what the chart shows, read aloud by a screen reader.
        x_label: name of the horizontal axis.
        y_label: name of the vertical axis.
    """
    across = Axis(-0.5, len(counts) - 0.5, LEFT, WIDTH - RIGHT)
    up = make_axis([float(count) for count in counts], HEIGHT - BOTTOM, TOP, zero=True)
    ticks = range(0, len(counts), max(1, -(-len(counts) // 11)))
    parts = [*_draw_up_axis(up), element("text", y_label, x=LEFT, y=17)]
    base = HEIGHT - BOTTOM
    parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis"))
    parts += [element("text", str(tick), x=across.place(tick), y=base + 16, text_anchor="middle") for tick in ticks]
    parts.append(element("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    for place, count in enumerate(counts):
        left, right = across.place(place - 0.4), across.place(place + 0.4)
        height = base - up.place(count)
        parts.append(element("rect", x=left, y=base - height, width=right - left, height=height, class_="fill image"))
    return draw_figure(WIDTH, HEIGHT, label, *parts)


def _draw_up_axis(axis: Axis) -> list[Markup]:
    parts = []
    for tick in axis.ticks():
        y = axis.place(tick)
        parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(element("text", f"{tick:g}", x=LEFT - 6, y=y + 4, text_anchor="end"))
    return parts


def _draw_across_axis(axis: Axis, label: str) -> list[Markup]:
    base = HEIGHT - BOTTOM
    parts = [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis")]
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis"))
        parts.append(element("text", f"{tick:,g}", x=x, y=base + 16, text_anchor="middle"))
    parts.append(element("text", label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    return parts


def _draw_legend(entries: Sequence[tuple[str, str]]) -> list[Markup]:
    parts, x = [], LEFT
    for name, colour in entries:
        parts.append(element("rect", x=x, y=8, width=10, height=10, class_=f"fill {colour}"))
        parts.append(element("text", name, x=x + 14, y=17))
        x += 26 + 6.6 * len(name)
    return parts


def draw_funnel_bar(rows: int, total: int, kind: str) -> Markup:
    """Return a horizontal bar of ``rows`` out of ``total``."""
    share = rows / total if total else 0.0
    # A hair of colour keeps a small but existing count visible.
    length = max(100 * share, 0.6) if rows else 0.0
    back = element("rect", x=0, y=0, width=100, height=8, class_="track")
    bar = element("rect", x=0, y=0, width=length, height=8, class_=f"fill {kind}")
    return _draw_strip(8, f"{share:.1%} of the raw rows", back, bar)


def _draw_strip(height: float, label: str, *children: Markup) -> Markup:
    """Return a picture that stretches to its cell's width."""
    box = f"0 0 100 {height:g}"
    return element(
        "svg", *children, viewBox=box, preserveAspectRatio="none", role="img", aria_label=label, class_="strip"
    )


def draw_shares(shares: Mapping[str, float], reach: tuple[float, float]) -> Markup:
    """Return the shares of a score as one stacked bar: positive ones right of zero, negative ones left.

    Args:
        shares: share by feature type; they sum to the score.
        reach: most negative and most positive sum among the bars to be compared; they set the common scale.
    """
    low, high = reach
    axis = Axis(low, high if high > low else low + 1.0, 1, 99)
    right = left = 0.0
    parts = [element("rect", x=0, y=2, width=100, height=8, class_="track")]
    for name, value in shares.items():
        begin = right if value >= 0 else left + value
        right, left = (right + value, left) if value >= 0 else (right, left + value)
        x = axis.place(begin)
        width = axis.place(begin + abs(value)) - x
        parts.append(element("rect", x=x, y=2, width=width, height=8, class_=f"fill {name}"))
    parts.append(element("rect", x=axis.place(0.0) - 0.4, y=0, width=0.8, height=12, class_="zero"))
    label = "Shares of the score: " + ", ".join(f"{name} {signed(value, 2)}" for name, value in shares.items())
    return _draw_strip(12, label, *parts)


def measure_reach(bars: Sequence[Mapping[str, float]]) -> tuple[float, float]:
    """Return the most negative and the most positive sum of shares of one sign, zero included."""
    low = min((sum(value for value in bar.values() if value < 0) for bar in bars), default=0.0)
    high = max((sum(value for value in bar.values() if value > 0) for bar in bars), default=0.0)
    return low, high


def draw_intervals(rows: Sequence[MetricRow | SliceRow], label: str) -> Markup:
    """Return every row's models as dots on lines that span their intervals."""
    pitch, first = 14.0, 34.0
    block = pitch * len(MODELS) + 12
    height = first + block * len(rows) + 30
    ends = [end for row in rows for interval in row.models.values() for end in (interval.low, interval.high)]
    axis = make_axis(ends, 80, WIDTH - RIGHT, zero=True)
    base = first + block * len(rows)
    parts = _draw_legend([(name, model) for model, name in MODELS.items()])
    for tick in axis.ticks():
        x = axis.place(tick)
        parts.append(element("line", x1=x, x2=x, y1=first - 6, y2=base, class_="grid"))
        parts.append(element("text", f"{tick:g}", x=x, y=base + 16, text_anchor="middle"))
    for index, row in enumerate(rows):
        top = first + block * index + 6
        parts.append(element("text", row.label, x=70, y=top + pitch + 4, text_anchor="end"))
        for place, model in enumerate(MODELS):
            parts += _draw_dot(axis, row.models[model], top + pitch * place, model)
    return draw_figure(WIDTH, height, label, *parts)


def draw_gaps(rows: Sequence[KnockoutRow], label: str) -> Markup:
    """Return the differences to the intact model as dots on lines that span their intervals, beside a line at zero."""
    pitch, first, left = 22.0, 30.0, 130.0
    height = first + pitch * len(rows) + 30
    ends = [end for row in rows for end in (row.difference.low, row.difference.high)]
    axis = make_axis(ends, left, WIDTH - 2 * RIGHT, zero=True)
    base = first + pitch * len(rows)
    parts, ticks = [], axis.ticks(3)
    for tick in ticks:
        x = axis.place(tick)
        parts.append(element("line", x1=x, x2=x, y1=first - 12, y2=base, class_="grid"))
        parts.append(element("text", signed(tick, count_decimals(ticks)), x=x, y=base + 16, text_anchor="middle"))
    zero = axis.place(0.0)
    parts.append(element("line", x1=zero, x2=zero, y1=first - 12, y2=base, class_="axis"))
    for index, row in enumerate(rows):
        y = first + pitch * index
        parts.append(element("text", row.short, x=left - 10, y=y + 4, text_anchor="end"))
        parts += _draw_dot(axis, row.difference, y, "illmrec")
    return draw_figure(WIDTH, height, label, *parts)


def _draw_dot(axis: Axis, interval: Estimate, y: float, colour: str) -> list[Markup]:
    low, high, at = axis.place(interval.low), axis.place(interval.high), axis.place(interval.value)
    return [
        element("line", x1=low, x2=high, y1=y, y2=y, class_=f"line {colour}"),
        element("circle", cx=at, cy=y, r=3.5, class_=f"dot {colour}"),
    ]
