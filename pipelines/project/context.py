"""What every command gets: the data set's paths, its parameters, and how to print results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from pipelines.parameters.reading import Params, SectionType
from pipelines.project.layout import Layout

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Context:
    """One data set in one project."""

    layout: Layout
    params: Params
    as_json: bool

    def section(self, kind: type[SectionType]) -> SectionType:
        """Return this data set's section of one kind."""
        return self.params.section(kind, self.layout.dataset)

    def emit(self, facts: dict[str, Any]) -> None:
        """Print a command's result on stdout: one JSON object with ``--json``, otherwise a line per fact."""
        print_facts(facts, self.as_json)


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts on stdout: one JSON object, or a line per fact."""
    if as_json:
        click.echo(json.dumps(facts, sort_keys=True, default=str))
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        counted = isinstance(value, int) and not isinstance(value, bool)
        shown = f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if counted else value
        click.echo(f"{name:<{width}}  {shown}")
