"""Command ``growth-check``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pipelines.commands.options import about_dataset, print_facts

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> None:
    r"""Compare today's data with those of the champion, and answer by exit code.

    6: nothing changed. 10: new items or interactions that the next `recommend` takes up as they are. 11: a retraining
    is due, see `reasons`, or there is no champion yet. 3: the data gate refused today's data, or so much of them is
    missing that the feed must be broken; 4: the champion cannot be read. Runs on what `prepare` and `validate` wrote.

    \b
    Example:
      illmrec growth-check --dataset amazon --json
    """
    from pipelines.growth.checking import check_growth
    from pipelines.growth.judging import EXIT_CODES

    growth = check_growth(context)
    print_facts({"answer": growth.answer, "reasons": "; ".join(growth.reasons), **growth.figures})
    sys.exit(EXIT_CODES[growth.answer])
