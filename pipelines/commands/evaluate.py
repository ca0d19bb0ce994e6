"""Command ``evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any]:
    r"""Rank each user's test targets among the full catalog and among stored candidates, and see what lists are like.

    Items the user has already interacted with are no candidates. Tied scores share the average of their ranks. Every
    metric comes with a bootstrap interval over users; differences between models are paired and tested. Slices say
    where a model is good, wrong pictures say whether it uses pictures. Prints all of it with --json, else the main
    figures.

    \b
    Example:
      illmrec evaluate --dataset amazon --json
    """
    from pipelines.stages.evaluate import run

    metrics = run(context)
    return metrics if wants_json() else pick_main(metrics)


def pick_main(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a terminal shows: the counts, and means of the full catalog and of the lists, without intervals."""
    ends = (".low", ".high", ".p", ".holm")
    parts = ("cases", "full", "lists")
    shown = [key for key in metrics if not key.endswith(ends) and set(parts) & set(key.split("/"))]
    return {key: metrics[key] for key in shown}
