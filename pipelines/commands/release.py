"""Job ``release``: register, promote, recommend and report in one go, for every data set of the parameters file."""

from __future__ import annotations

import datetime
import sys

import click

from illmrec.errors import IllmrecError, ModelError, NothingToDoError
from pipelines.parameters.reading import read_params

STEPS = ("register", "promote", "recommend", "report")


@click.command()
@click.option("--dataset", "chosen", multiple=True, help="Data set of the parameters file; default: all of them.")
@click.option(
    "--date",
    type=click.DateTime(["%Y-%m-%d"]),
    default=lambda: datetime.datetime.now(datetime.UTC).date().isoformat(),
    show_default="today, UTC",
    help="Date of the recommendations.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one per step.")
def command(chosen: tuple[str, ...], date: datetime.datetime, as_json: bool) -> None:
    r"""Register the exported head, promote it, write recommendations and the report, one data set after the other.

    A challenger that `promote` refuses does not stop the rest: the champion goes on serving, and the exit code is 4 at
    the end. Steps that have nothing to do are passed over.

    \b
    Example:
      illmrec release
      illmrec release --dataset amazon --date 2026-01-31
    """
    root = click.get_current_context().find_root()
    known = read_params(root.obj[1]).datasets
    refusals = []
    for dataset in chosen or known:
        for step in STEPS:
            refused = run_step(root, step, _write_arguments(step, dataset, date, as_json))
            refusals += [f"{dataset}: {refused}"] if refused else []
    if refusals:
        raise ModelError(" ".join(refusals), hint="The champion went on serving; see work/receipts.")


def _write_arguments(step: str, dataset: str, date: datetime.datetime, as_json: bool) -> list[str]:
    arguments = ["--dataset", dataset]
    if step == "recommend":
        arguments += ["--date", date.strftime("%Y-%m-%d")]
    return [*arguments, "--json"] if as_json else arguments


def run_step(root: click.Context, step: str, arguments: list[str]) -> str:
    """Run one command of the group in this process.

    Returns:
        Why ``promote`` refused the challenger; an empty string otherwise.

    Raises:
        IllmrecError: whatever else the step raises.
    """
    group = root.command
    found = group.get_command(root, step) if isinstance(group, click.Group) else None
    if found is None:
        raise IllmrecError(f"there is no command {step!r}.")
    click.echo(f"--- {step} {arguments[1]}", err=True)
    sys.stderr.flush()
    try:
        found.main(arguments, prog_name=step, parent=root, standalone_mode=False)
    except NothingToDoError as notice:
        click.echo(f"{step}: {notice}", err=True)
    except ModelError as refusal:
        if step != "promote":
            raise
        click.echo(f"{step}: {refusal}", err=True)
        return str(refusal)
    return ""
