"""Command ``train``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Train the adaptor, the [REC] vector and the projection heads around the frozen language model.

    A killed run continues from its last checkpoint when the command is given again with the same data and parameters,
    and ends with the very numbers of an uninterrupted one (on CPU). SIGTERM ends a run after the step under way, with
    its state saved and exit code 143. Curves, parameters and lineage go to MLflow.

    Several GPUs share every batch when the command is started through a launcher; the result is that of one process.

    \b
    Example:
      illmrec train --dataset amazon
      accelerate launch --num_processes 2 -m illmrec train --dataset amazon
    """
    from illmrec.training.peers import find_rank
    from pipelines.stages.train import train

    context = open_context(dataset, as_json)
    if find_rank():
        train(context)
        return
    with hold_lock(context.layout.lock("train")):
        atomic.sweep_partial(context.layout.artifacts, context.layout.model.name)
        facts = train(context)
    context.emit(facts)
