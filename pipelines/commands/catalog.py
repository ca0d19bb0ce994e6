"""Command ``catalog``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.group()
def command() -> None:
    r"""Bring new items into a catalog of your own.

    \b
    Example:
      illmrec catalog add --dataset shop incoming/2026-01-31
    """


@command.command("add")
@about_dataset
@click.argument("source", type=click.Path(path_type=Path, exists=True))
def add_command(context: Context, source: Path) -> dict[str, Any]:
    r"""Add the items of SOURCE: a table with item_id, title, brand, category, description, image, or a folder with one.

    Pictures are decoded in full, the batch is judged by the bounds of section `validate`, and then published by one
    rename below the raw folder. Its pictures and texts are encoded, and the next `recommend` can show them: scored by
    picture and text, without a CF part, until a retraining has seen users take them. A batch that is refused leaves
    nothing behind (exit code 3); items that the catalog has are passed over, and exit code 6 says that all were.

    \b
    Example:
      illmrec catalog add --dataset shop incoming/new-arrivals.csv
      illmrec catalog add --dataset shop incoming/2026-01-31 --json
    """
    from pipelines.growth.adding import add_items

    return add_items(context, source)
