"""Command ``config``: the parameters in effect, and where each of them comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, wants_json
from pipelines.parameters.reading import SECTIONS, Params, flatten

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.group()
def command() -> None:
    r"""Show the parameters in effect.

    \b
    Example:
      illmrec config show --dataset amazon
      illmrec config show --dataset amazon --section train --origin
    """


@command.command()
@about_dataset
@click.option("--section", "wanted", multiple=True, metavar="SECTION", type=click.Choice(list(SECTIONS)),
              help="Only this section of params.yaml; repeatable.")  # fmt: skip
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
def show(context: Context, wanted: tuple[str, ...], origin: bool) -> None:
    r"""Print every parameter of a data set with its value.

    An origin is `default` (the code), `shared` (the file's section), or `data set` (the data set's own section, which
    goes before the shared one).

    \b
    Example:
      illmrec config show --dataset amazon --section train --origin
    """
    dataset = context.layout.dataset
    values = flatten(context.params, dataset)
    chosen = {key: value for key, value in values.items() if not wanted or key.split(".")[0] in wanted}
    origins = {key: find_origin(context.params, dataset, key) for key in chosen}
    if wants_json():
        click.echo(json.dumps({key: {"value": json.loads(chosen[key]), "origin": origins[key]} for key in chosen}))
        return
    width = max(len(key) for key in chosen)
    for key, value in chosen.items():
        click.echo(f"{key:<{width}}  {f'{origins[key]:<8}  ' if origin else ''}{value}")


def find_origin(params: Params, dataset: str, key: str) -> str:
    """Return where a parameter's value stands: ``data set``, ``shared`` or ``default``."""
    path = key.split(".")
    own: Any = params.values["datasets"][dataset] or {}
    if _has(own, path):
        return "data set"
    return "shared" if _has(params.values, path) else "default"


def _has(values: object, path: list[str]) -> bool:
    for step in path:
        if not isinstance(values, dict) or step not in values:
            return False
        values = values[step]
    return True
