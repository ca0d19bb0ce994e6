"""Command ``prepare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Read a raw catalog into tables.

    Reads the publisher's files, sets malformed rows aside, drops duplicates, applies the k-core, cleans texts and
    decodes every picture in full. Nothing is dropped without being counted; the counts are printed and kept in
    summary.json.

    \b
    Example:
      illmrec prepare --dataset amazon
      illmrec prepare --dataset hm --json
    """
    from pipelines.stages.prepare import run

    return run(context)
