"""Command ``code``."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.commands.options import json_option, print_facts, wants_json


@click.command()
@click.pass_context
@json_option
def command(ctx: click.Context) -> None:
    r"""Write what code each stage depends on, by meaning: what DVC compares in place of files.

    One file a stage, and one a study, below artifacts/code, with a digest of every function, class and constant that
    can be reached. Comments, docstrings and help texts are no part of it. `dvc repro` runs this first; after it,
    `dvc status` names the stages that a change of code has made outdated, and `dvc diff` the file that says which
    definition changed.

    \b
    Example:
      illmrec code
      dvc repro code && dvc status
    """
    from pipelines.project.code import list_verbs, write_code
    from pipelines.project.layout import name_code_folder
    from pipelines.studies.catalogue import list_study_verbs

    root: Path = ctx.find_root().obj[0]
    counts = write_code(name_code_folder(root), list_verbs() | list_study_verbs())
    print_facts(counts if wants_json() else {name: f"{count} definitions" for name, count in counts.items()})
