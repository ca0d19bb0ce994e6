"""Command ``embed-images``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, engine_option, open_context
from pipelines.parameters.features import EmbedImagesConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
@engine_option
def command(dataset: str, as_json: bool, engine: str | None) -> None:
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
    from pipelines.stages.embed_images import embed_images

    context = open_context(dataset, as_json)
    config, layout = context.section(EmbedImagesConfig), context.layout
    if engine is not None:
        config = config.model_copy(update={"engine": engine})
    with hold_lock(layout.lock("embed-images")):
        atomic.sweep_partial(layout.features("image").parent, "image")
        facts = embed_images(layout, config)
    context.emit(facts)
