"""Command ``retrain``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option(
    "--start", type=click.Choice(["scratch", "warm", "compare"]), default=None, help="Overrides retrain.start."
)
@click.option(
    "--no-promote", is_flag=True, help="Stop when the challenger is registered; `promote` is another's to run."
)
def command(context: Context, start: str | None, no_promote: bool) -> dict[str, Any]:
    r"""Run the gate, all stages, training, evaluation, export, registration and promotion, as far as they are due.

    A killed run goes on where it was: a step whose settings and files are what they were is passed over, and training
    continues from its checkpoint. Encoders are kept. Training begins from nothing, from the champion's tensors, or both
    ways (`compare`), of which the one that ranks the validation targets better is kept. Exit code 3 when the gate
    refuses the data, 4 when the challenger is refused: in both cases champion and last night stay. 6 when all was done.

    \b
    Example:
      illmrec retrain --dataset amazon
      illmrec retrain --dataset amazon --start compare --no-promote --json
    """
    from pipelines.growth.retraining import retrain
    from pipelines.parameters.operation import RetrainConfig

    chosen = start or context.section(RetrainConfig).start
    return retrain(context, chosen, promotes=not no_promote, run=make_runner())


def make_runner() -> Callable[[Sequence[str]], None]:
    """Return a function that runs a subcommand in this process; what it prints goes to stderr."""
    from illmrec.errors import IllmrecError

    root = click.get_current_context().find_root()

    def run(arguments: Sequence[str]) -> None:
        name, *options = arguments
        group = root.command
        found = group.get_command(root, name) if isinstance(group, click.Group) else None
        if found is None:
            raise IllmrecError(f"there is no command {name!r}.")
        with contextlib.redirect_stdout(sys.stderr):
            found.main(options, prog_name=name, parent=root, standalone_mode=False)

    return run
