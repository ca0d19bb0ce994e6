"""Pictures of studies: bars with intervals, lines, histograms. Equal rows give equal bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Row = dict[str, Any]
COLOURS = ("#2f6f8f", "#c8553d", "#588157", "#8d6a9f", "#b08900", "#5c677d", "#d17b88", "#3d5a80")
"""Colours of series, told apart in grey and by most colour-blind people together with the markers."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def bars(label: str, value: str, axis: str, *, colour: str = "") -> Callable[[list[Row]], Figure]:
    """Return a drawer of horizontal bars, with the interval of ``value`` where the rows have one.

    Args:
        label: column that names a bar.
        value: column that is its length.
        axis: what the value is, for the axis.
        colour: column whose values get a colour each; empty for one colour.
    """

    def draw(rows: list[Row]) -> Figure:
        """Draw the rows."""
        shown = [row for row in rows if row.get(value) is not None]
        figure, axes = _open_figure(0.9 + 0.34 * max(len(shown), 1))
        groups = list(dict.fromkeys(str(row.get(colour, "")) for row in shown))
        for place, row in enumerate(shown):
            tint = COLOURS[groups.index(str(row.get(colour, ""))) % len(COLOURS)]
            axes.barh(place, row[value], color=tint, alpha=0.6, height=0.68, zorder=2)
            _draw_interval(axes, row, value, place)
        axes.set_yticks(range(len(shown)), [_shorten(str(row[label])) for row in shown])
        axes.invert_yaxis()
        axes.set_xlabel(axis)
        axes.grid(axis="x", color="#dddddd", zorder=0)
        if colour and len(groups) > 1:
            handles = [_patch(COLOURS[n % len(COLOURS)], group) for n, group in enumerate(groups)]
            # Beside the bars: inside, it would hide one of them sooner or later.
            axes.legend(handles=handles, title=colour.replace("_", " "), loc="upper left", bbox_to_anchor=(1.0, 1.0),
                        fontsize=8, frameon=False)  # fmt: skip
        return figure

    return draw


def lines(
    x: str, y: str, series: str, x_axis: str, y_axis: str, *, log_x: bool = False
) -> Callable[[list[Row]], Figure]:
    """Return a drawer of a line per value of ``series``, with the interval of ``y`` where the rows have one."""

    def draw(rows: list[Row]) -> Figure:
        """Draw the rows."""
        figure, axes = _open_figure(3.6)
        for number, name in enumerate(dict.fromkeys(str(row[series]) for row in rows)):
            own = sorted((row for row in rows if str(row[series]) == name), key=lambda row: float(row[x]))
            tint, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            places = [row[x] for row in own]
            axes.plot(places, [row[y] for row in own], color=tint, marker=marker, label=_shorten(name), zorder=3)
            if all(f"{y}.low" in row for row in own):
                low, high = [row[f"{y}.low"] for row in own], [row[f"{y}.high"] for row in own]
                axes.fill_between(places, low, high, color=tint, alpha=0.12, linewidth=0, zorder=1)
        if log_x:
            axes.set_xscale("log", base=2)
        axes.set_ylim(bottom=0)
        _label(axes, x_axis, y_axis)
        return figure

    return draw


def points(x: str, y: str, label: str, x_axis: str, y_axis: str) -> Callable[[list[Row]], Figure]:
    """Return a drawer of a named point per row."""

    def draw(rows: list[Row]) -> Figure:
        """Draw the rows."""
        figure, axes = _open_figure(3.8)
        for number, row in enumerate(rows):
            tint, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            low, high = row.get(f"{y}.low", row[y]), row.get(f"{y}.high", row[y])
            axes.errorbar(row[x], row[y], yerr=[[row[y] - low], [high - row[y]]], color=tint, marker=marker,
                          linestyle="none", capsize=2, label=_shorten(str(row[label])), zorder=3)  # fmt: skip
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        _label(axes, x_axis, y_axis)
        return figure

    return draw


def histograms(left: str, count: str, series: str, axis: str) -> Callable[[list[Row]], Figure]:
    """Return a drawer of a stepped outline per value of ``series``; rows are bins with their left edge and share."""

    def draw(rows: list[Row]) -> Figure:
        """Draw the rows."""
        figure, axes = _open_figure(3.2)
        for number, name in enumerate(dict.fromkeys(str(row[series]) for row in rows)):
            own = [row for row in rows if str(row[series]) == name]
            edges = [row[left] for row in own] + [own[-1]["right"]]
            tint = COLOURS[number % len(COLOURS)]
            axes.stairs([row[count] for row in own], edges, color=tint, fill=True, alpha=0.3)
            axes.stairs([row[count] for row in own], edges, color=tint, label=name)
        _label(axes, axis, "share of pairs")
        return figure

    return draw


def render_svg(figure: Figure) -> bytes:
    """Return the figure as SVG; the same figure gives the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "illmrec", "svg.fonttype": "none", "font.family": "sans-serif"}):
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    return out.getvalue()


def _open_figure(height: float) -> tuple[Figure, Axes]:
    """Return an empty figure, seven inches wide, that no window system knows about."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _label(axes: Axes, x_axis: str, y_axis: str) -> None:
    axes.set_xlabel(x_axis)
    axes.set_ylabel(y_axis)
    axes.grid(color="#dddddd", zorder=0)
    axes.legend(fontsize=8, frameon=False)


def _draw_interval(axes: Axes, row: Row, value: str, place: int) -> None:
    if row.get(f"{value}.low") is None:
        return
    ends: Sequence[float] = (row[f"{value}.low"], row[f"{value}.high"])
    axes.plot(ends, (place, place), color="#222222", linewidth=1.2, zorder=3)


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=colour, alpha=0.6, label=label)


def _shorten(text: str, limit: int = 42) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
