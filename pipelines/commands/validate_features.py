"""Command ``validate-features``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.commands.options import about_dataset, print_facts
from pipelines.quality.verdict import refuse_failures, warn_failures

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command(name="validate-features")
@about_dataset
def command(context: Context) -> None:
    r"""Check the image and text matrices, and whether pictures and texts of items belong together.

    Each item's text is read by the text tower of the picture encoder and compared with the item's picture and with
    pictures of other items. An encoder without a text tower cannot do that; the result then says "not checked" and why.
    Writes gate.json, a Data Docs site and worst_pairs.parquet, also when a check fails; the exit code is 3 after a
    critical one.

    \b
    Example:
      illmrec validate-features --dataset amazon
    """
    from pipelines.stages.validate_features import run

    results, facts = run(context)
    print_facts(facts)
    warn_failures(results)
    refuse_failures(results, context.layout.artifacts / "features", context.layout.feature_quality, "features")
