"""The help of every command as text files in ``tests/golden/help``.

Written anew by ``python -m tests.golden_help``.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import click
from click.testing import CliRunner

from pipelines.cli import COMMANDS, cli

FOLDER = Path(__file__).parent / "golden" / "help"


def list_command_lines() -> dict[str, list[str]]:
    """Return the words of each command by the name of its file; the top page first."""
    lines: dict[str, list[str]] = {"illmrec": []}
    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(module).command
        lines[name] = [name]
        if isinstance(command, click.Group):
            lines |= {f"{name}-{sub}": [name, sub] for sub in command.commands}
    return lines


def render_help(words: list[str]) -> str:
    """Return the help of one command, 100 characters wide."""
    shown = CliRunner().invoke(cli, [*words, "--help"], prog_name="illmrec", terminal_width=100, catch_exceptions=False)
    return shown.stdout


def write_all() -> int:
    """Write every file anew; return how many there are."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    lines = list_command_lines()
    for name, words in lines.items():
        (FOLDER / f"{name}.txt").write_text(render_help(words), encoding="utf-8")
    return len(lines)


if __name__ == "__main__":
    click.echo(f"{write_all()} files in {FOLDER}")
