"""What the pages say of the repository is so: paths, modules, folders, layers, lists of commands."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

import illmrec
from pipelines.assembly.recommender import load_recommender
from pipelines.cli import COMMANDS, load_command
from pipelines.graph import STAGES
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.suites import build_checks
from tools.python_page import write_page

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("illmrec", "pipelines", "tests", "benchmarks", "tools", "docs", ".github", ".ci")
"""Folders of which every path that a page names must exist; others are made by commands."""


def list_names() -> list[tuple[str, str]]:
    """Return page and name of everything in a page that reads as a path or module of the repository."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()}
        words |= set(re.findall(r"^(?:from|import) ([\w.]+)", text, re.MULTILINE))
        found += [(page.name, word) for word in sorted(words) if re.fullmatch(r"[\w./-]+", word) and is_ours(word)]
    return found


def is_ours(word: str) -> bool:
    """Return whether a word begins with a folder of the repository; docs/index.html is a page of the quality gate."""
    return re.split(r"[./](?=\w)", word.lstrip("."))[0].rstrip("/") in {
        folder.lstrip(".") for folder in FOLDERS
    } and not word.endswith(".html")


def exists(name: str) -> bool:
    if "/" in name or (ROOT / name).exists():
        return (ROOT / name).exists()
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            known = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:
            known = False
        if known:
            return has_attributes(importlib.import_module(module), parts[length:])
    return False


def has_attributes(thing: Any, names: list[str]) -> bool:
    for name in names:
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


@pytest.mark.parametrize(("page", "name"), list_names())
def test_a_path_or_module_that_a_page_names_exists(page: str, name: str) -> None:
    assert exists(name), page


def test_stale_names_would_be_found() -> None:
    assert len(list_names()) > 40
    assert not exists("pipelines/jobs/retrain.py")
    assert not exists("pipelines.reference")
    assert not exists("illmrec.read_rows")
    assert is_ours("illmrec.config")
    assert is_ours(".github/workflows/nightly.yml")
    assert not is_ours("artifacts/shop/head")


def test_the_page_of_the_face_is_current() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert page == write_page(), "run: python -m tools.python_page > docs/python.md"
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == illmrec.__all__
    assert list(inspect.signature(load_recommender).parameters) == ["shelf", "model"]  # as its first lines call it


def find_options(option: str) -> dict[str, dict[str, bool]]:
    """Return for each command its own or its subcommands' names, and whether each has the option."""
    options = {}
    for name in COMMANDS:
        command = load_command(name)
        parts: dict[str, click.Command] = getattr(command, "commands", None) or {"": command}
        options[name] = {part: any(option in one.opts for one in inner.params) for part, inner in parts.items()}
    return options


def list_words(names: list[str]) -> str:
    *most, last = [f"`{name}`" for name in sorted(names)]
    return f"{', '.join(most)} and {last}"


def test_the_readme_says_which_commands_are_about_a_data_set() -> None:
    text = " ".join(README.split())
    has = find_options("--dataset")
    several = [name for name, command in ((name, load_command(name)) for name in COMMANDS) if takes_several(command)]
    none = [name for name, parts in has.items() if not all(parts.values())]
    apart = [f"{name} {part}" for name in none for part, there in has[name].items() if there]
    assert f"{list_words(several)} take several of them, or all." in text
    assert f"{list_words(none)} take none, {', '.join(f'`{name}`' for name in apart)} apart." in text


def takes_several(command: click.Command) -> bool:
    return any("--dataset" in one.opts and getattr(one, "multiple", False) for one in command.params)


def test_the_readme_says_which_commands_print_json() -> None:
    none = [name for name, parts in find_options("--json").items() if not any(parts.values())]
    assert f"All but {list_words(none)} take `--json`." in " ".join(README.split())


def cut(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def list_first_cells(text: str) -> list[str]:
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_readme_lists_every_command() -> None:
    listed = [name.removeprefix("illmrec ").split()[0] for name in list_first_cells(cut("Commands"))]
    assert sorted(listed) == sorted(COMMANDS)


def test_the_readme_lists_every_preset() -> None:
    presets = [path.stem for path in (ROOT / "pipelines" / "presets").glob("*.yaml")]
    assert sorted(list_first_cells(cut("Presets"))) == sorted(presets)


def test_the_readme_lists_every_folder_of_pipelines() -> None:
    folders = [
        path.name
        for path in (ROOT / "pipelines").iterdir()
        if (path / "__init__.py").is_file() or path.name == "presets"
    ]
    assert sorted(list_first_cells(cut("Where things lie"))) == sorted(f"{name}/" for name in folders)


def test_contributing_draws_the_layers_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one["name"] == "Layers of pipelines"]
    drawn = CONTRIBUTING.split("never one above:\n\n```\n")[1].split("```")[0].splitlines()
    assert [re.split(r"\s{2,}", line)[0] for line in drawn] == [layer.replace("pipelines.", "") for layer in layers]


def test_the_number_of_suites_is_that_of_the_gate() -> None:
    checks = build_checks(ValidateConfig(), PrepareConfig(format="own", folder="data/shop"))
    names = list(dict.fromkeys(check.suite for check in checks))
    page = (ROOT / "docs" / "your-catalog.md").read_text(encoding="utf-8")
    assert len(names) == 4
    assert "runs four suites" in page
    assert all(f"| `{name}` |" in page for name in names)


def test_the_example_of_a_data_set_names_every_stage() -> None:
    page = (ROOT / "docs" / "your-catalog.md").read_text(encoding="utf-8")
    example = page.split("## 2. Name it")[1].split("```yaml\n")[1].split("```")[0]
    assert re.findall(r"^    (\w+):", example, re.MULTILINE) == [stage.name for stage in STAGES]
