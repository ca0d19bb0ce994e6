"""Command ``promote``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option("--force", metavar="REASON", default=None, help="Promote in spite of a refusal; REASON is written down.")
def command(context: Context, force: str | None) -> dict[str, Any]:
    r"""Make the challenger champion, if it can be shown to lose less than a margin.

    Both versions' ranks of the same test targets are compared user by user: the interval of the difference must lie
    above promote.margin. It must also be shown to rank better than a list of popular items, and cold items, coverage,
    latency, memory and fallback share must hold. The first challenger is judged by itself. Each answer is printed; what
    could not be asked is called `not checked`. Exit code 4 when refused, 6 when the challenger is the champion already.

    \b
    Example:
      illmrec promote --dataset amazon
      illmrec promote --dataset amazon --force "new data, judged by hand, ticket 17"
    """
    from pipelines.registry.promote import promote

    if force is not None and not force.strip():
        raise click.UsageError("--force needs a reason in words.")
    facts = promote(context, force)
    # The lines `check_...` say the same for people.
    return facts if wants_json() else {key: value for key, value in facts.items() if key != "verdicts"}
