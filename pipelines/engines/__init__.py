"""Engines that encode outside this process (the one in this process is part of the library) and their option."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def engine_option(function: Function) -> Function:
    """Add ``--engine`` to a command."""
    text = "Where encoding runs; default: the section's `engine`. The result is the same."
    return click.option("--engine", type=click.Choice(["local", "ray"]), default=None, help=text)(function)
