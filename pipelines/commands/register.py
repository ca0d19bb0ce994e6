"""Command ``register``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Register the exported head in MLflow, with its lineage as tags, under the alias `challenger`.

    The version holds the ONNX head, the small trained parts that turn histories into user vectors, the ranks of its
    test targets, and a model and a data card; the backbone is named by its pinned revision, not copied. Nothing is
    published until `promote`.

    \b
    Example:
      illmrec register --dataset amazon
    """
    from pipelines.registry.register import register

    return asdict(register(context))
