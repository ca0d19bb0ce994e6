"""Commands that only look, with ``--json`` on a finished project; the comparison itself is in ``tests/conftest.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden_schemas import find_faults, read_schemas
from tests.integration.conftest import DAY, invoke
from tests.own_project import copy_with_outputs

Project = tuple[Path, dict[str, dict[str, Any]]]
LOOKING = [
    ["registry", "list"],
    ["registry", "log"],
    ["registry", "sweep"],
    ["growth-check"],
    ["drift"],
    ["recommendations"],
    ["report"],
    ["report", "--night", DAY],
    ["config", "show"],
]


@pytest.fixture(scope="module")
def project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy for this module: commands that look write locks and pages."""
    return copy_with_outputs(project, tmp_path_factory.mktemp("looking") / "project")


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_what_is_printed_is_json_of_the_committed_form(words: list[str], project: tuple[Path, dict[str, Any]]) -> None:
    result = invoke(project[0], *words, "--dataset", "shop", "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert json.loads(result.stdout) is not None


@pytest.mark.parametrize("command", ["train", "evaluate", "register", "recommend"])
def test_what_the_project_s_commands_printed_is_too(command: str, project: tuple[Path, dict[str, Any]]) -> None:
    assert find_faults(project[1][command], read_schemas()[command]) == []
