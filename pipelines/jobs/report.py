"""Job ``report``: the HTML report of one data set."""

from __future__ import annotations

import datetime
from typing import Any

import click

from illmrec import atomic
from illmrec.config import EvaluateConfig, ReportConfig
from pipelines.context import Context, dataset_options, open_context
from pipelines.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Build the HTML report: one file that loads nothing and runs no script.

    Shows the data funnel, the quality gate, training curves, results with intervals, the export check, and users'
    histories beside their nightly recommendations. Only `prepare` must have run; the report names the command behind
    each section it leaves out.

    \b
    Example:
      illmrec report --dataset amazon
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("report")):
        facts = write_report(context, datetime.datetime.now(datetime.UTC))
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
    page = render_report(report).encode()
    atomic.sweep_partial(layout.report.parent, layout.report.name)
    with atomic.write_file(layout.report) as file:
        file.write(page)
    gallery = report.gallery if isinstance(report.gallery, Gallery) else Gallery((), "", 0, 0)
    return {
        "report": str(layout.report),
        "bytes": len(page),
        "users": len(gallery.users),
        "pictures": gallery.pictures,
        "pictures_lost": gallery.lost_pictures,
        "left_out": "; ".join(f"{section.title} (run `{section.command}`)" for section in report.left_out) or "nothing",
    }
