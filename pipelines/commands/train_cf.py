"""Command ``train-cf``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Train SASRec on the training interactions only.

    Its item embeddings become the CF features, and it is the baseline that `evaluate` compares with. An item without a
    training interaction gets the mean embedding and is counted.

    \b
    Example:
      illmrec train-cf --dataset amazon
    """
    from pipelines.stages.train_cf import run

    return run(context)
