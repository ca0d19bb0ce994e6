"""Command ``export``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Export the projection heads to a single ONNX file and compare it with the trained model.

    Items and export.compared_users users are projected both ways. A larger difference than export.max_difference, or
    another top ten for more users than export.min_same_top10_share allows, stops with exit code 4 and nothing is
    written.

    \b
    Example:
      illmrec export --dataset amazon
    """
    from pipelines.stages.export import run

    return run(context)
