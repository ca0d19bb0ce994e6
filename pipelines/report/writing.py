"""Writing and publishing the pages of a report."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from illmrec import atomic
from pipelines.parameters.operation import ReportConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.context import Context
from pipelines.project.lineage import describe_lineage
from pipelines.project.lock import locked
from pipelines.report.gallery import Gallery
from pipelines.report.gather import Choices, gather_report
from pipelines.report.night.gather import gather_night
from pipelines.report.render import render_night, render_report


@locked("report")
def write_report(context: Context, made_at: datetime.datetime) -> dict[str, Any]:
    """Write the page and return its path, its size in bytes and what was left out.

    Raises:
        MissingArtifactError: when ``prepare`` has not run.
        DataError: when an artifact is damaged or does not fit another one.
    """
    layout, config = context.layout, context.section(ReportConfig)
    choices = Choices(config.users, config.thumbnail_pixels, context.section(EvaluateConfig).confidence)
    lineage = describe_lineage(layout.root, context.params, layout.dataset)
    report = gather_report(context.shelf, lineage, choices, made_at)
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


@locked("report")
def write_night_report(context: Context, day: datetime.date, made_at: datetime.datetime) -> dict[str, Any]:
    """Write the page of one night and return its path, its size in bytes and what it compares.

    Raises:
        MissingArtifactError: when there is no export of that night.
        DataError: when an export or an artifact is damaged.
    """
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
