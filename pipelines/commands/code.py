"""Command ``code``."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.commands.options import json_option, print_facts


@click.command()
@click.pass_context
@json_option
def command(ctx: click.Context) -> None:
    r"""Write what code each stage depends on, by meaning: what DVC compares in place of files.

    One file a stage below artifacts/code, with a digest of every function, class and constant that the stage can reach.
    Comments, docstrings and help texts are no part of it. `dvc repro` runs this first; after it, `dvc status` names the
    stages that a change of code has made outdated, and `dvc diff` the definition that changed.

    \b
    Example:
      illmrec code
      dvc repro code && dvc status
    """
    from pipelines.project.code import write_code
    from pipelines.project.layout import name_code_folder

    root: Path = ctx.find_root().obj[0]
    counts = write_code(name_code_folder(root))
    print_facts({name: f"{count} definitions" for name, count in counts.items()})
