"""Command ``recommend``."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, engine_option

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Night to write, YYYY-MM-DD.")
@click.option("--full", is_flag=True, help="Read every user again instead of only those who changed; equal rows.")
@click.option(
    "--publish/--no-publish",
    default=None,
    help="Point readers to this night, or do not; default: unless a later night is published.",
)
@engine_option
def command(
    context: Context, day: datetime.datetime, full: bool, publish: bool | None, engine: str | None
) -> dict[str, Any]:
    r"""Write recommendations for every known user and publish them whole.

    Takes the registry's champion, checks its digests, uses interactions before the given day (UTC), reads the users who
    changed since the last night, scores everybody against the whole catalog with ONNX Runtime, leaves out items already
    seen, audits the result and only then moves exports/<dataset>/latest.json. Users without any known item get the most
    popular ones, with that reason. A night that fails its audit changes nothing and ends with exit code 4. Stopped or
    killed, the same command goes on. See docs/nightly.md.

    \b
    Example:
      illmrec recommend --dataset amazon --date 2026-01-31
      illmrec recommend --dataset amazon --date 2025-12-24 --no-publish
    """
    from pipelines.nights.night import Order, recommend
    from pipelines.project.termination import notice_sigterm

    refuse_future(day.date())
    order = Order(day.date(), full, publish)
    with notice_sigterm() as stop:
        return recommend(context, order, stop, engine)


def refuse_future(day: datetime.date) -> None:
    """Refuse a night that is more than a day ahead: it would stay published until its day has come.

    Raises:
        ParameterError: when it is.
    """
    from illmrec.errors import ParameterError

    today = datetime.datetime.now(datetime.UTC).date()
    if (day - today).days > 1:
        raise ParameterError(f"--date {day} lies ahead: today is {today} (UTC).", hint="Check the year and the clock.")
