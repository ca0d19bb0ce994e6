"""Command ``validate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.commands.options import about_dataset, print_facts
from pipelines.quality.verdict import refuse_failures, warn_failures

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> None:
    r"""Check the prepared tables with Great Expectations; stop on critical failures.

    Four suites: image availability, k-core, interactions, description noise. Writes gate.json, profile.json (the data
    in a few counts, for `illmrec drift`) and a Data Docs site, also when the gate refuses the tables; the exit code is
    3 then.

    \b
    Example:
      illmrec prepare --dataset amazon
      illmrec validate --dataset amazon
    """
    from pipelines.stages.validate import run

    results, facts = run(context)
    print_facts(facts)
    warn_failures(results)
    refuse_failures(results, context.layout.prepared, context.layout.quality)
