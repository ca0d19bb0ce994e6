"""Command ``rollback``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option("--to", "wanted", metavar="VERSION", default=None, help="An earlier champion; default: the last one.")
@click.option("--why", default="no reason given", show_default=True, help="Reason, for the audit log.")
def command(context: Context, wanted: str | None, why: str) -> dict[str, Any]:
    r"""Make the champion before this one champion again.

    Which one that is stands in the audit log. Its files are compared with their digests first; nothing is computed.
    The next night is written by it; run `illmrec recommend` to write tonight's again. Going back twice goes back
    further. Exit code 6 when there is no champion to go back to.

    \b
    Example:
      illmrec rollback --dataset amazon --why "complaints since Tuesday"
      illmrec rollback --dataset amazon --to 3
    """
    from pipelines.registry.rollback import roll_back

    return asdict(roll_back(context, wanted, why))
