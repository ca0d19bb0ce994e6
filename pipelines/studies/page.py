"""The results page: every study of every data set, from its files alone."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from illmrec.errors import ModelError
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.layout import Layout
from pipelines.report.gather import is_synthetic
from pipelines.report.render import FOLDER, make_environment, write_policy
from pipelines.studies.catalogue import STUDIES
from pipelines.studies.head_to_head import compare_all, list_missing
from pipelines.studies.published import look_up, recognise

TEMPLATE = "results.html"
COARSE = {"seconds", "ms_per_user", "tokens", "tokens_per_item", "prompt_tokens", "best_epoch"}
"""Columns written with one decimal instead of four."""


@dataclass(frozen=True)
class Cell:
    """A value as it is written, and its interval, empty where it has none."""

    text: str
    interval: str = ""


@dataclass(frozen=True)
class Table:
    """One study of one data set as it is shown.

    Args:
        name: of the study.
        facts: what results.json says.
        plot: the picture as a data address.
        columns: columns shown.
        rows: their values, written out; the last column is the case's run.
        published: label -> metric -> the paper's value, where the data set is the paper's.
    """

    name: str
    facts: dict[str, Any]
    plot: str
    columns: tuple[str, ...]
    rows: list[list[Cell]]
    published: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Chapter:
    """One data set."""

    dataset: str
    synthetic: bool
    known_as: str | None
    counts: dict[str, int]
    tables: list[Table]
    models: list[dict[str, Any]]
    """Rows of :func:`pipelines.studies.head_to_head.compare_all`."""
    unranked: list[str]
    """Rivals that these rows lack."""


def gather_chapter(layout: Layout, evaluation: EvaluateConfig) -> Chapter:
    """Read every study of a data set that has been run, in the order of the list of studies."""
    known_as = recognise(layout)
    summary = layout.prepared / "summary.json"
    counts = json.loads(summary.read_text(encoding="utf-8")) if summary.is_file() else {}
    tables = [_read_table(name, layout.study(name), known_as) for name in STUDIES if layout.study(name).is_dir()]
    kept = {name: counts[name] for name in ("users", "items", "interactions") if name in counts}
    models, unranked = compare_all(layout, evaluation), list_missing(layout)
    return Chapter(layout.dataset, is_synthetic(layout), known_as, kept, tables, models, unranked)


def render_page(chapters: Sequence[Chapter], made_at: datetime.datetime) -> str:
    """Return the page. It loads nothing, runs no script, and everything from a catalog is escaped."""
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    template = make_environment().get_template(TEMPLATE)
    return template.render(chapters=chapters, made_at=made_at, style=Markup(style), policy=write_policy(style))  # noqa: S704


def _read_table(name: str, folder: Path, known_as: str | None) -> Table:
    try:
        facts = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        rows, shown = facts["rows"], facts["shown"]
        plot = (folder / "plot.svg").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = f"Run `illmrec study {name}` again."
        raise ModelError(f"results of a study cannot be read: {error}", path=folder, hint=hint) from None
    filled = [column for column in shown if any(row.get(column) is not None for row in rows)]
    columns = [column for column in filled if not column.endswith((".low", ".high"))]
    if any("run" in row for row in rows):
        columns.append("run")
    written = [[_write_cell(row, column) for column in columns] for row in rows]
    published = look_up(name, known_as) if known_as else {}
    picture = "data:image/svg+xml;base64," + base64.b64encode(plot).decode("ascii")
    return Table(name, facts, picture, tuple(columns), written, published)


def _write_cell(row: dict[str, Any], column: str) -> Cell:
    low, high = row.get(f"{column}.low"), row.get(f"{column}.high")
    interval = "" if low is None or high is None else f"{_write(low)} to {_write(high)}"
    return Cell(_write(row.get(column), column), interval)


def _write(value: object, column: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if column in COARSE else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
