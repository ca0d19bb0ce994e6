"""Job ``report``: the HTML report of one data set."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from illmrec import atomic
from illmrec.config import EvaluateConfig, ReportConfig
from pipelines.context import Context, dataset_options, open_context
from pipelines.lock import hold_lock


@click.command()
@dataset_options
@click.option(
    "--night", type=click.DateTime(["%Y-%m-%d"]), default=None, help="The page of this night in place of the report."
)
def command(dataset: str, as_json: bool, night: datetime.datetime | None) -> None:
    r"""Build the HTML report: one file that loads nothing and runs no script.

    Shows the data funnel, the quality gate, training curves, results with intervals, the export check, and users'
    histories beside their nightly recommendations. Only `prepare` must have run; the report names the command behind
    each section it leaves out.

    With --night it is the page of one night instead: the audit, what changed since the night before, how fresh what it
    was made from is, coverage, reasons, and some users' lists of both nights.

    \b
    Example:
      illmrec report --dataset amazon
      illmrec report --dataset amazon --night 2026-01-31
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("report")):
        now = datetime.datetime.now(datetime.UTC)
        facts = write_report(context, now) if night is None else write_night_report(context, night.date(), now)
    context.emit(facts)


def write_report(context: Context, made_at: datetime.datetime) -> dict[str, Any]:
    """Write the page and return its path, its size in bytes and what was left out.

    Raises:
        MissingArtifactError: when ``prepare`` has not run.
        DataError: when an artifact is damaged or does not fit another one.
    """
    from pipelines.lineage import describe_lineage
    from pipelines.report.gallery import Gallery
    from pipelines.report.gather import Choices, gather_report
    from pipelines.report.render import render_report

    layout, config = context.layout, context.section(ReportConfig)
    choices = Choices(config.users, config.thumbnail_pixels, context.section(EvaluateConfig).confidence)
    lineage = describe_lineage(layout.root, context.params, layout.dataset)
    report = gather_report(layout, lineage, choices, made_at)
    size = publish_page(layout.report, render_report(report))
    gallery = report.gallery if isinstance(report.gallery, Gallery) else Gallery((), "", 0, 0)
    return {
        "report": str(layout.report),
        "bytes": size,
        "users": len(gallery.users),
        "pictures": gallery.pictures,
        "pictures_lost": gallery.lost_pictures,
        "left_out": "; ".join(f"{section.title} (run `{section.command}`)" for section in report.left_out) or "nothing",
    }


def write_night_report(context: Context, day: datetime.date, made_at: datetime.datetime) -> dict[str, Any]:
    """Write the page of one night and return its path, its size in bytes and what it compares.

    Raises:
        MissingArtifactError: when there is no export of that night.
        DataError: when an export or an artifact is damaged.
    """
    from pipelines.report.night.gather import gather_night
    from pipelines.report.render import render_night

    layout, config = context.layout, context.section(ReportConfig)
    night = gather_night(layout, day, config.users, config.thumbnail_pixels, made_at)
    path = layout.night_report(day.isoformat())
    size = publish_page(path, render_night(night))
    return {
        "report": str(path),
        "bytes": size,
        "users": len(night.readers),
        "compared_with": None if night.before is None else night.before[0],
        "published": night.is_published,
        "audit_failures": sum(not check.passed for check in night.audit),
    }


def publish_page(path: Path, page: str) -> int:
    """Write a page whole; return its size in bytes."""
    content = page.encode()
    atomic.sweep_partial(path.parent, path.name)
    with atomic.write_file(path) as file:
        file.write(content)
    return len(content)
