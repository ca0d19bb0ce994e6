"""Command ``drift``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.errors import DataError
from pipelines.commands.options import about_dataset, print_facts, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context
    from pipelines.quality.drift import FieldDrift


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
    from pipelines.growth.drifting import measure_drift

    found, beside = measure_drift(context, against)
    levels = [field.level for field in found]
    facts: dict[str, Any] = {
        "against": beside,
        "fields": len(found),
        "warnings": levels.count("warning"),
        "critical": levels.count("critical"),
    }
    if wants_json():
        print_facts(facts | {"drift": [asdict(field) for field in found]})
    else:
        print_facts(facts | {field.field: _describe(field) for field in found})
    refuse_drift(found, beside, context.layout.dataset)


def refuse_drift(found: list[FieldDrift], beside: str, dataset: str) -> None:
    """Return when no field is past its critical bound.

    Raises:
        DataError: naming each that is.
    """
    critical = [field for field in found if field.level == "critical"]
    if not critical:
        return
    lines = "".join(f"\n  {field.field}: {_describe(field)}; expected at most {field.limit:g}" for field in critical)
    hint = (
        f"Look at the raw data. If the change is real, train on it: `dvc repro export@{dataset}`, register and "
        "promote; to accept it once, raise the bound in the section `drift`."
    )
    raise DataError(f"the data drifted from {beside}; fields past a critical bound: {len(critical)}{lines}", hint=hint)


def _describe(field: FieldDrift) -> str:
    return f"{field.level}, {field.measure} {field.value:.3f}, most moved {field.largest}"
