"""Tables and numbers in Markdown; what comes from files cannot end a cell or begin a tag."""

from __future__ import annotations

from collections.abc import Sequence

from illmrec.evaluation.table import Measurement


def write_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    return [*lines, *(f"| {' | '.join(_escape(cell) for cell in row)} |" for row in rows)]


def _escape(cell: str) -> str:
    """Keep text from ending a cell or beginning a tag; names of models and slices come from files."""
    plain = "".join(c if c.isprintable() else " " for c in cell)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def show_row(row: Measurement | None, sign: str = "") -> str:
    """Return what was measured with the ends of its interval, where there are any."""
    return "not evaluated" if row is None else show_estimate(row.value, row.low, row.high, sign)


def show_estimate(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    """Return a number with the ends of its interval, where there are any."""
    if value is None:
        return "not evaluated"
    shown = format(value, f"{sign}.4f")
    return shown if low is None or high is None else f"{shown} [{low:{sign}.4f}, {high:{sign}.4f}]"
