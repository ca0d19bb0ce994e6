"""Tables and figures in Markdown; what comes from files cannot end a cell or begin a tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def write_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows)]


def _escape(cell: str) -> str:
    """Keep text from ending a cell or beginning a tag; names of models and slices come from files."""
    plain = "".join(c if c.isprintable() else " " for c in cell)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def show_estimate(values: Mapping[str, Any], key: str, sign: str = "") -> str:
    """Return a figure with the ends of its interval, where there are any."""
    if values.get(key) is None:
        return "not evaluated"
    ends = [values.get(f"{key}.{end}") for end in ("low", "high")]
    shown = format(values[key], f"{sign}.4f")
    return shown if None in ends else f"{shown} [{ends[0]:{sign}.4f}, {ends[1]:{sign}.4f}]"
