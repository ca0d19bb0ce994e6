"""The commands of docs/your-catalog.md, run in the page's order on a catalog that nothing has been done to yet."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from illmrec.scoring.output import RECOMMENDATIONS
from tests.integration.conftest import invoke
from tests.own_project import copy_as_own

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "your-catalog.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def list_commands() -> list[str]:
    """Return the page's command lines in order, without what explains them."""
    lines = [line.split("  #")[0].strip() for _, block in FENCE.findall(PAGE) for line in block.splitlines()]
    return [line for line in lines if line.startswith(("illmrec ", "dvc "))]


def list_stages(target: str = "") -> list[list[str]]:
    """Return what ``dvc repro`` runs for one data set, in the file's order, which is an order of dependencies."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [stage.get("do", stage)["cmd"].replace("${key}", "shop").split() for stage in stages.values()]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, project: tuple[Path, dict[str, Any]]) -> Path:
    """Return a project that holds parameters and a catalog of its own, and nothing else."""
    root = copy_as_own(project[0], tmp_path_factory.mktemp("page") / "project")
    for name in ("artifacts", "work", "exports", "mlartifacts", "data/shop"):
        shutil.rmtree(root / name)
    (root / "mlflow.db").unlink()
    return root


def run(root: Path, words: list[str]) -> str:
    assert words[0] == "illmrec"
    result = invoke(root, *words[1:], *(["--json"] if words[1] == "release" else []))
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout


def test_the_page_shows_the_way_from_files_to_a_night() -> None:
    assert [line.split()[1] for line in list_commands()] == [
        *("prepare", "validate", "repro", "release", "recommendations", "doctor")
    ]


def test_every_command_of_the_page_runs_in_its_order(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    printed = {}
    for line in list_commands():
        for words in list_stages() if line.startswith("dvc repro") else [line.split()]:
            printed[words[1]] = run(fresh, words)
    assert "all stages have run" in printed["doctor"]
    assert '"promoted"' in printed["release"] or '"champion"' in printed["release"]
    head, columns, *rows = printed["recommendations"].splitlines()
    assert head.startswith("# night ")
    assert sorted(columns.split("\t")) == sorted(RECOMMENDATIONS)
    monkeypatch.chdir(fresh)
    (snippet,) = [block for language, block in FENCE.findall(PAGE) if language == "python"]
    *statements, last = snippet.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(statements), names)
    night = eval(last, names)
    assert isinstance(night, pl.DataFrame)
    assert night.height == len(rows)
    named = re.search(r"One row per user and rank: `(.*?)`", PAGE, re.DOTALL)
    assert named is not None
    assert sorted(named[1].replace("\n", " ").split(", ")) == sorted(night.columns)
    assert (fresh / "work/reports/shop.html").is_file()
