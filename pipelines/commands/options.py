"""Options that several commands share."""

from __future__ import annotations

import click

from pipelines.parameters.reading import read_params
from pipelines.project.context import Context, Function
from pipelines.project.layout import Layout


def open_context(dataset: str, as_json: bool) -> Context:
    """Build the context of a command from the group's options."""
    root, params_path = click.get_current_context().find_root().obj
    params = read_params(params_path)
    return Context(Layout(root, dataset), params, as_json)


def dataset_options(function: Function) -> Function:
    """Add ``--dataset`` and ``--json`` to a command."""
    function = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(function)
    return click.option("--dataset", required=True, help="Data set named in the parameters file.")(function)


def engine_option(function: Function) -> Function:
    """Add ``--engine`` to a command."""
    text = "Where encoding runs; default: the section's `engine`. The result is the same."
    return click.option("--engine", type=click.Choice(["local", "ray"]), default=None, help=text)(function)
