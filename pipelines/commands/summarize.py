"""Command ``summarize``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Shorten the catalog's descriptions, a row per item.

    With `source: extractive`, the default, a summary is an extract: the sentences of the description that say most
    about the item, not written by a language model. `source: model` has a causal language model write, once per
    description; `source: file` takes summaries made elsewhere.

    \b
    Example:
      illmrec summarize --dataset amazon
    """
    from pipelines.stages.summarize import run

    return run(context)
