"""Turns the report's content into one self-contained HTML page."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.report.charts import (
    SHARES,
    Line,
    draw_columns,
    draw_funnel_bar,
    draw_gaps,
    draw_intervals,
    draw_lines,
    draw_shares,
    measure_reach,
)
from pipelines.report.figures import MODELS, show_p, signed
from pipelines.report.gallery import TOP, GalleryUser
from pipelines.report.gather import Curves, Report
from pipelines.report.night.gather import NightReport
from pipelines.report.reading import Missing

FOLDER = Path(__file__).parent


def render_report(report: Report) -> str:
    """Return the page. It loads nothing, runs no script, and everything from the catalog is escaped."""
    charts = [] if isinstance(report.curves, Missing) else draw_curves(report.curves)
    return _render("report.html", report=report, charts=charts)


def render_night(night: NightReport) -> str:
    """Return the page of a night; it loads nothing and runs no script either."""
    return _render("night.html", night=night)


def _render(template: str, **content: object) -> str:
    style = (FOLDER / "style.css").read_text(encoding="utf-8")
    fixed = {"style": Markup(style), "policy": write_policy(style)}  # noqa: S704 - a file of this package
    return make_environment().get_template(template).render(**fixed, **content)


@functools.cache
def make_environment() -> Environment:
    """Return the template environment, which escapes every value that is not markup of this package."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    environment.filters |= {"signed": signed, "p": show_p, "count": lambda value: f"{value:,}"}
    environment.globals |= {
        "MODELS": MODELS,
        "TOP": TOP,
        "columns": draw_columns,
        "funnel_bar": draw_funnel_bar,
        "intervals": draw_intervals,
        "gaps": draw_gaps,
        "share_bars": draw_share_bars,
    }
    return environment


def write_policy(style: str) -> str:
    """Return the content security policy: pictures inside the page, this one style sheet, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def draw_curves(curves: Curves) -> list[tuple[str, Markup]]:
    """Return (caption, chart) of each training curve that has points."""
    names = {"image": "image", "cf": "CF", "text": "text"}
    groups: list[tuple[str, list[Line], bool]] = [
        ("Total loss", _pick_lines(curves, {"loss": "total"}, "total"), True),
        ("Retrieval loss by feature type", _pick_lines(curves, names), True),
        ("Retrieval loss of summed scores", _pick_lines(curves, {"retrieval": "retrieval"}, "total"), False),
        ("Alignment loss", _pick_lines(curves, {"alignment": "alignment"}, "alignment"), False),
        (
            "Validation NDCG@10, full catalog",
            _pick_lines(curves, {"validation": "validation"}, "illmrec", dots=True),
            False,
        ),
    ]
    return [
        _draw_group(caption, lines, curves.best_step, log=may_span and _spans_decades(lines))
        for caption, lines, may_span in groups
        if lines
    ]


def _draw_group(caption: str, lines: list[Line], best_step: int | None, *, log: bool) -> tuple[str, Markup]:
    named = f"{caption} (logarithmic)" if log else caption
    return named, draw_lines(lines, named, "training step", log=log, mark=best_step)


def _spans_decades(lines: Sequence[Line]) -> bool:
    """Return whether values are positive and so far apart that a logarithmic axis has several ticks."""
    values = [value for line in lines for _, value in line.points]
    return min(values) > 0 and max(values) > 30 * min(values)


def _pick_lines(curves: Curves, names: Mapping[str, str], colour: str = "", *, dots: bool = False) -> list[Line]:
    return [
        Line(name, colour or column, curves.points[column], dots)
        for column, name in names.items()
        if column in curves.points
    ]


def draw_share_bars(user: GalleryUser) -> list[Markup | None]:
    """Return the bar of each recommendation of a user, all to one scale; None where no model scored."""
    reach = measure_reach([line.shares for line in user.recommendations])
    ordered = [{name: line.shares[name] for name in SHARES if name in line.shares} for line in user.recommendations]
    return [draw_shares(shares, reach) if shares else None for shares in ordered]
