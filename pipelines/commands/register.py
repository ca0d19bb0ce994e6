"""Command ``register``."""

from __future__ import annotations

import click

from pipelines.commands.options import dataset_options, open_context
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Register the exported head in MLflow, with its lineage as tags, under the alias `challenger`.

    The version holds the ONNX head, the small trained parts that turn histories into user vectors, the ranks of its
    test targets, and a model and a data card; the backbone is named by its pinned revision, not copied. Nothing is
    published until `promote`.

    \b
    Example:
      illmrec register --dataset amazon
    """
    from pipelines.registry.register import register

    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = register(context)
    context.emit(facts)
