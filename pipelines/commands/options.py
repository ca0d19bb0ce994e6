"""What commands share: options, the data set they are about, and how results are printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from pipelines.project.context import Context

Function = TypeVar("Function", bound=Callable[..., Any])


def about_dataset(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--dataset`` and ``--json``.

    The function gets the data set's :class:`Context` and its own options, and returns what is printed on stdout; None
    where it has printed everything itself.
    """

    @click.option("--dataset", required=True, help="Data set named in the parameters file.")
    @json_option
    @functools.wraps(function)
    def run(dataset: str, **options: Any) -> None:
        facts = function(open_context(dataset), **options)
        if facts is not None:
            print_facts(facts)

    return run


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json``; :func:`wants_json` tells whether it was given."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @functools.wraps(function)
    def run(*arguments: Any, as_json: bool, **options: Any) -> Any:
        del as_json  # stays in Click's context
        return function(*arguments, **options)

    return run


def open_context(dataset: str) -> Context:
    """Build the context of a command from the group's options."""
    # `--help` needs none of it.
    from pipelines.parameters.reading import read_params
    from pipelines.project.context import Context
    from pipelines.project.layout import Layout

    root, params_path = click.get_current_context().find_root().obj
    return Context(Layout(root, dataset), read_params(params_path))


def wants_json() -> bool:
    """Return whether the command under way was given ``--json``."""
    return bool(click.get_current_context().params.get("as_json"))


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print facts on stdout: one JSON object, or a line per fact."""
    if wants_json():
        click.echo(json.dumps(facts, sort_keys=True, default=str))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        counted = isinstance(value, int) and not isinstance(value, bool)
        shown = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if counted else value
        click.echo(f"{name:<{width}}  {shown}")


def engine_option(function: Function) -> Function:
    """Add ``--engine`` to a command."""
    text = "Where encoding runs; default: the section's `engine`. The result is the same."
    return click.option("--engine", type=click.Choice(["local", "ray"]), default=None, help=text)(function)
