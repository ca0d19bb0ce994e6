"""Command ``embed-text``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, engine_option, open_context
from pipelines.parameters.features import EmbedTextConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
@engine_option
def command(dataset: str, as_json: bool, engine: str | None) -> None:
    r"""Encode the catalog's descriptions into one matrix, a row per item.

    An item without a description is encoded by its title, else by its categories; an item without any text gets the
    mean of the others and is counted. A text that was encoded before is taken from the feature cache.

    \b
    Example:
      illmrec embed-text --dataset amazon
    """
    from pipelines.stages.embed_text import embed_text

    context = open_context(dataset, as_json)
    config, layout = context.section(EmbedTextConfig), context.layout
    if engine is not None:
        config = config.model_copy(update={"engine": engine})
    with hold_lock(layout.lock("embed-text")):
        atomic.sweep_partial(layout.features("text").parent, "text")
        facts = embed_text(layout, config)
    context.emit(facts)
