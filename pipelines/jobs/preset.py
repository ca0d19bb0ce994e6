"""Command ``preset``: complete parameter files that come with the project."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

import pipelines
from illmrec import atomic
from illmrec.errors import ParameterError
from pipelines.params import read_params

FOLDER = Path(pipelines.__file__).parent / "presets"


@click.group()
def command() -> None:
    r"""List the committed parameter files, show one, or put one into use.

    \b
    Example:
      illmrec preset list
      illmrec preset use ml-1m-posters && dvc repro
    """


@command.command("list")
def list_presets() -> None:
    """List the names, each with its data sets."""
    for path in sorted(FOLDER.glob("*.yaml")):
        click.echo(f"{path.stem:<16} {', '.join(read_params(path).datasets)}")


@command.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a preset."""
    click.echo(find_preset(name).read_text(encoding="utf-8"), nl=False)


@command.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace a params.yaml that is no preset.")
def use(name: str, force: bool) -> None:
    """Replace params.yaml by a preset; one that you edited is not replaced without --force."""
    target: Path = click.get_current_context().find_root().obj[1]
    chosen = find_preset(name).read_bytes()
    known = [path.read_bytes() for path in FOLDER.glob("*.yaml")]
    if target.exists() and target.read_bytes() not in known and not force:
        hint = "Keep a copy, then add --force."
        raise ParameterError("was edited; it would be lost.", path=target, hint=hint)
    with atomic.write_file(target) as file:
        file.write(chosen)
    click.echo(f"{target} now holds the preset {name}")


def find_preset(name: str) -> Path:
    """Return a preset's file.

    Raises:
        ParameterError: when there is none of that name.
    """
    names = [path.stem for path in FOLDER.glob("*.yaml")]
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(names))}."
        raise ParameterError(f"there is no preset {name!r}.", hint=hint)
    return FOLDER / f"{name}.yaml"
