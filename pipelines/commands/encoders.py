"""Command ``encoders``."""

from __future__ import annotations

import os

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.features import EncodersConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Resolve the image, text and language models that later stages load.

    With `source: train` a small model is trained on this catalog's own pictures and texts; it stands in where no
    pretrained weights can be had. Models named by hub name are looked up at their pinned revision, and downloaded only
    if encoders.allow_network is true.

    \b
    Example:
      illmrec encoders --dataset amazon
    """
    from pipelines.stages.encoders import make_encoders

    context = open_context(dataset, as_json)
    config, layout = context.section(EncodersConfig), context.layout
    if config.allow_network:
        os.environ["HF_HUB_OFFLINE"] = "0"
    with hold_lock(layout.lock("encoders")):
        atomic.sweep_partial(layout.artifacts, layout.encoders.name)
        records = make_encoders(layout, config)
    context.emit({role: f"{record['name']} ({record['revision'][:19]})" for role, record in records.items()})
