"""Command ``embed-text``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, engine_option

if TYPE_CHECKING:
    from pipelines.parameters.section import EngineName
    from pipelines.project.context import Context


@click.command()
@about_dataset
@engine_option
def command(context: Context, engine: EngineName | None) -> dict[str, Any]:
    r"""Encode the catalog's descriptions into one matrix, a row per item.

    An item without a description is encoded by its title, else by its categories; an item without any text gets the
    mean of the others and is counted. A text that was encoded before is taken from the feature cache.

    \b
    Example:
      illmrec embed-text --dataset amazon
    """
    from pipelines.stages.embed_text import run

    return run(context, engine)
