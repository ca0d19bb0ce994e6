"""Every command that the documentation or a help text shows exists, with these options and values."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from pipelines.cli import COMMANDS, cli, load_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?:```|~~~)[^\n]*\n(.*?)^(?:```|~~~)", re.MULTILINE | re.DOTALL)
PROGRAMS = ("illmrec", "make", "dvc", "python", "accelerate", "torchrun")


def list_documented() -> list[tuple[str, str]]:
    found = [(page.name, line) for page in PAGES for block in FENCE.findall(page.read_text()) for line in split(block)]
    for name in COMMANDS:
        found += [(f"illmrec {name} --help", line) for line in list_examples(name)]
    return [(where, line) for where, line in found if line.split()[0] in PROGRAMS]


def split(block: str) -> Iterator[str]:
    """Yield single commands: continued lines joined, comments and what follows a pipe left out."""
    for line in block.replace("\\\n", " ").splitlines():
        command = re.sub(r"(^|\s)#.*", "", line).strip().removeprefix("$ ").removeprefix(".venv/bin/")
        for part in re.split(r"&&|\|\||[|;]", command):
            words = [word for word in part.split() if not re.fullmatch(r"[A-Z_]+=\S*", word)]
            if words and words[0] not in ("nohup", "time"):
                yield " ".join(words)


def list_examples(name: str) -> list[str]:
    command = load_command(name)
    commands = [command, *getattr(command, "commands", {}).values()]
    texts = [command.help or "" for command in commands]
    lines = [
        line for text in texts for line in re.findall(r"^\s*((?:illmrec|accelerate|torchrun) .*)$", text, re.MULTILINE)
    ]
    # What stands behind three spaces explains the line.
    return [part for line in lines for part in split(re.split(r"\s{3,}", line)[0])]


def parse(words: list[str]) -> None:
    """Let Click parse a command line without running it."""
    context = cli.make_context("illmrec", words[1:])
    command: click.Command = cli
    rest = [*context._protected_args, *context.args]
    while isinstance(command, click.Group) and rest:
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        assert name is not None
        context = found.make_context(name, rest, parent=context)
        command = found
        rest = [*context._protected_args, *context.args] if isinstance(command, click.Group) else []


@contextlib.contextmanager
def allow_absent_files() -> Iterator[None]:
    """A reader's file need not lie here."""
    try:
        yield
    except click.BadParameter as error:
        if "does not exist" not in error.message:
            raise


@pytest.mark.parametrize(("where", "line"), list_documented())
def test_a_documented_command_exists(where: str, line: str) -> None:
    words = shlex.split(re.sub(r'"\$\([^)]*\)"', "2026-01-31", re.sub(r">+\s*\S+", "", line)))
    if words[0] == "illmrec":
        with allow_absent_files():
            parse(words)
    elif words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert not {word for word in words[1:] if "=" not in word} - set(targets), where
    elif words[0] in ("accelerate", "torchrun"):
        launched = words[words.index("-m") + 1 :]
        assert launched[0] == "pipelines", where
        parse(["illmrec", *launched[1:]])
    elif words[:2] == ["dvc", "repro"]:
        check_stages([word for word in words[2:] if not word.startswith("-")])
    elif (
        words[0] == "python" and words[1:2] == ["-m"] and words[2].split(".")[0] in ("benchmarks", "pipelines", "tools")
    ):
        assert importlib.util.find_spec(words[2]) is not None, where


def check_stages(targets: list[str]) -> None:
    for target in targets:
        file, _, stage = (target, "", "") if target.endswith(".yaml") else target.rpartition(":")
        stages = yaml.safe_load((ROOT / (file or "dvc.yaml")).read_text())["stages"]
        assert not stage or stage.split("@")[0] in stages, target


def test_the_pages_do_show_commands() -> None:
    lines = [line for _, line in list_documented()]
    assert len(lines) > 60
    assert any("--dataset" in line for line in lines)


@pytest.mark.parametrize("line", ["illmrec trian", "illmrec train --datset x", "illmrec study nothing --dataset x"])
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line.split())


def test_every_page_stands_in_the_sites_navigation() -> None:
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"([\w./-]+\.md)", text))
    assert listed == pages


def test_the_list_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
