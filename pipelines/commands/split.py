"""Command ``split``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Split histories into what is learned from and what is tested, and draw sampled candidates.

    Leave-one-out: per user the last interaction is the test target and the second last the validation target. By global
    time (split.method): all interactions from one day on are test targets. Refuses data that the quality gate refused.

    \b
    Example:
      illmrec split --dataset amazon
    """
    from pipelines.stages.split import run

    return run(context)
