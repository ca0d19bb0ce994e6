"""Command ``embed-images``."""

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
    r"""Encode the catalog's pictures into one matrix, a row per item.

    A picture whose bytes were encoded before, under whatever name, is taken from the feature cache. Features of several
    pictures of an item are averaged. An item without a readable picture gets what embed_images.missing says, and is
    counted. A picture that takes too much memory or time, or crashes its decoder, is recorded in undecodable.json
    beside the matrix, and the run goes on.

    \b
    Example:
      illmrec embed-images --dataset amazon --json
      illmrec embed-images --dataset amazon --engine ray
    """
    from pipelines.stages.embed_images import run

    return run(context, engine)
