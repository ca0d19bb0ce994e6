"""Command ``completion``: completion of commands and options in a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "illmrec"
FILES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/illmrec.fish"}


@click.command()
@click.argument("shell", type=click.Choice(list(FILES)))
def command(shell: str) -> None:
    r"""Print a script that makes a shell complete commands, options and their values.

    \b
    Example:
      eval "$(illmrec completion bash)"            for this shell
      illmrec completion bash >> ~/.bashrc         for every new one
    """
    found = get_completion_class(shell)
    if found is None:  # pragma: no cover - the choices are those that Click knows
        raise click.UsageError(f"completion for {shell} is not known.")
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, PROGRAM, "_ILLMREC_COMPLETE").source())
