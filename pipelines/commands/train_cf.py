"""Command ``train-cf``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.training import TrainCfConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Train SASRec on the training interactions only.

    Its item embeddings become the CF features, and it is the baseline that `evaluate` compares with. An item without a
    training interaction gets the mean embedding and is counted.

    \b
    Example:
      illmrec train-cf --dataset amazon
    """
    from pipelines.stages.train_cf import train_cf

    context = open_context(dataset, as_json)
    config, layout = context.section(TrainCfConfig), context.layout
    with hold_lock(layout.lock("train-cf")):
        atomic.sweep_partial(layout.artifacts, layout.cf_model.name)
        facts = train_cf(layout, config)
    context.emit(facts)
