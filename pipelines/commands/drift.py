"""Command ``drift``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, print_facts, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A profile.json to compare with; default: the one registered with the champion.",
)
def command(context: Context, against: Path | None) -> None:
    r"""Compare the data's profile, as `validate` wrote it, with the champion's.

    Prints one line per field with what moved most. Past a critical bound of the section `drift` the exit code is 3;
    warnings leave it at 0.

    \b
    Example:
      illmrec drift --dataset amazon
      illmrec drift --dataset amazon --against last-month/profile.json --json
    """
    from pipelines.growth.drifting import describe_drift, measure_drift, refuse_drift

    drift, beside = measure_drift(context, against)
    levels = [field.level for field in drift]
    summary: dict[str, Any] = {
        "against": beside,
        "fields": len(drift),
        "warnings": levels.count("warning"),
        "critical": levels.count("critical"),
    }
    if wants_json():
        print_facts(summary | {"drift": [asdict(field) for field in drift]})
    else:
        print_facts(summary | {field.field: describe_drift(field) for field in drift})
    refuse_drift(drift, beside, context.layout.dataset)
