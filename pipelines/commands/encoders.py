"""Command ``encoders``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset
from pipelines.parameters.features import EncodersConfig

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Resolve the image, text and language models that later stages load.

    With `source: train` a small model is trained on this catalog's own pictures and texts; it stands in where no
    pretrained weights can be had. Models named by hub name are looked up at their pinned revision, and downloaded only
    if encoders.allow_network is true.

    \b
    Example:
      illmrec encoders --dataset amazon
    """
    from pipelines.stages.encoders import run

    if context.section(EncodersConfig).allow_network:
        os.environ["HF_HUB_OFFLINE"] = "0"
    return {role: f"{record['name']} ({record['revision'][:19]})" for role, record in run(context).items()}
