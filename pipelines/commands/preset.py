"""Command ``preset``: complete parameter files that come with the project."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

import pipelines
from illmrec import atomic
from illmrec.errors import ParameterError
from pipelines.parameters.reading import flatten, read_params

FOLDER = Path(pipelines.__file__).parent / "presets"


@click.group()
def command() -> None:
    r"""List the committed parameter files, show one, or put one into use.

    \b
    Example:
      illmrec preset list
      illmrec preset diff paper authors
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


@command.command()
@click.argument("name")
@click.argument("other", required=False)
def diff(name: str, other: str | None) -> None:
    r"""Print what differs between a preset and params.yaml, or between two presets: section.key, both values.

    Values are those in effect, defaults included, of the first data set of each file. Exit code 0 whether they differ
    or not.

    \b
    Example:
      illmrec preset diff paper authors
      illmrec preset diff sample
    """
    mine = find_preset(name)
    theirs = find_preset(other) if other else click.get_current_context().find_root().obj[1]
    rows = compare_files(mine, theirs)
    width = max((len(key) for key, _, _ in rows), default=0)
    click.echo(f"{'':<{width}}  {name}  |  {other or theirs.name}", err=True)
    for key, first, second in rows:
        click.echo(f"{key:<{width}}  {first}  |  {second}")
    if not rows:
        click.echo("nothing differs", err=True)


def compare_files(first: Path, second: Path) -> list[tuple[str, str, str]]:
    """Return (section.key, value, other value) of every parameter that differs, of the files' first data sets."""
    values = [flatten(read_params(path), read_params(path).datasets[0]) for path in (first, second)]
    keys = dict.fromkeys([*values[0], *values[1]])
    pairs = [(key, values[0].get(key, "-"), values[1].get(key, "-")) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]


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
