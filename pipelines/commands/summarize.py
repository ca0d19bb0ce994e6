"""Command ``summarize``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.features import SummarizeConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Shorten the catalog's descriptions, a row per item.

    With `source: extractive`, the default, a summary is an extract: the sentences of the description that say most
    about the item, not written by a language model. `source: model` has a causal language model write, once per
    description; `source: file` takes summaries made elsewhere.

    \b
    Example:
      illmrec summarize --dataset amazon
    """
    from pipelines.stages.summarize import summarize

    context = open_context(dataset, as_json)
    config, layout = context.section(SummarizeConfig), context.layout
    with hold_lock(layout.lock("summarize")):
        atomic.sweep_partial(layout.artifacts, layout.summaries.name)
        facts = summarize(layout, config)
    context.emit(facts)
