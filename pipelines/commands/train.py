"""Command ``train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any] | None:
    r"""Train the adaptor, the [REC] vector and the projection heads around the frozen language model.

    A killed run continues from its last checkpoint when the command is given again with the same data and parameters,
    and ends with the very numbers of an uninterrupted one (on CPU). SIGTERM ends a run after the step under way, with
    its state saved and exit code 143. Curves, parameters and lineage go to MLflow.

    Several GPUs share every batch when the command is started through a launcher; the result is that of one process.

    \b
    Example:
      illmrec train --dataset amazon
      accelerate launch --num_processes 2 -m pipelines train --dataset amazon
    """
    from pipelines.stages.train import run

    return run(context) or None
