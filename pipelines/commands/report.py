"""Job ``report``: the HTML report of one data set."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option(
    "--night", type=click.DateTime(["%Y-%m-%d"]), default=None, help="The page of this night in place of the report."
)
def command(context: Context, night: datetime.datetime | None) -> dict[str, Any]:
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
    from pipelines.report.writing import write_night_report, write_report

    now = datetime.datetime.now(datetime.UTC)
    return write_report(context, now) if night is None else write_night_report(context, night.date(), now)
