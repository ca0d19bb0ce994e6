"""`illmrec repro`: several data sets at a time, what it says, how it fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from illmrec.errors import IllmrecError, ParameterError
from pipelines import graph
from pipelines.cli import cli
from pipelines.commands import repro
from pipelines.commands.repro import find_exit_code, is_news

ROOT = Path(__file__).parents[2]

DATASETS = ("amazon", "hm", "microlens")


def make_project(root: Path, broken: str = "none", seconds: float = 0.0) -> Path:
    """Write a DVC project of quick stages, which all read what stage `code` makes; the last but one takes a while."""
    stages: dict[str, Any] = {"code": {"cmd": "touch code", "outs": ["code"]}}
    for name in (stage.name for stage in graph.STAGES):
        command = f"touch ${{item}}-{name}"
        command = f"test ${{item}} != {broken} || exit 3; {command}" if name == "export" else command
        command = f"sleep {seconds}; {command}" if name == "evaluate" else command
        do = {"cmd": command, "deps": ["code"], "outs": [f"${{item}}-{name}"]}
        stages[name] = {"foreach": list(DATASETS), "do": do}
    shutil.copy(ROOT / "params.yaml", root)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    return root


def test_all_data_sets_are_brought_up_to_date(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    result = CliRunner().invoke(cli, ["--root", str(root), "repro", "--jobs", "2"])
    assert result.exception is None
    assert result.stdout == "up to date: amazon, hm, microlens\n"
    assert all((root / f"{name}-export").exists() for name in DATASETS)
    assert "Running stage 'export@hm'" in (root / "work/logs/hm.log").read_text()


def test_a_long_stage_of_one_data_set_does_not_keep_the_others_from_what_they_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repro, "BUSY_RETRIES", 2)  # waiting does not help: a stage may run for hours
    root = make_project(tmp_path, seconds=8.0)
    result = CliRunner().invoke(cli, ["--root", str(root), "repro", "--jobs", "3"])
    assert result.exception is None, result.exception
    assert all((root / f"{name}-{stage.name}").exists() for name in DATASETS for stage in graph.STAGES)


def test_a_failing_stage_is_named_with_its_exit_code(tmp_path: Path) -> None:
    root = make_project(tmp_path, broken="hm")
    result = CliRunner().invoke(cli, ["--root", str(root), "repro"])
    assert isinstance(result.exception, IllmrecError)
    assert result.exception.exit_code == 3
    assert "export@hm" in str(result.exception)
    assert (root / "amazon-export").exists()


def test_data_that_another_process_looks_at_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([255, 255, 0])
    waits: list[float] = []

    def run_dvc(root: Path, arguments: list[str], log: Path, threads: int) -> int:
        log.write_text(f"ERROR: failed to reproduce 'data.dvc': '{root}/data' {repro.BUSY}:\n")
        return next(codes)

    monkeypatch.setattr(repro, "run_dvc", run_dvc)
    monkeypatch.setattr(repro.time, "sleep", waits.append)
    assert repro.reproduce(tmp_path, ["export@hm"], tmp_path / "hm.log", 1) == 0
    assert waits == [1.0, 1.0]


def test_an_unknown_data_set_is_refused(tmp_path: Path) -> None:
    root = make_project(tmp_path)
    result = CliRunner().invoke(cli, ["--root", str(root), "repro", "--dataset", "amazn"])
    assert isinstance(result.exception, ParameterError)


@pytest.mark.parametrize(
    ("line", "news"), [("Running stage 'a':\n", True), ("> illmrec train\n", False), ("ERROR: failed\n", True)]
)
def test_stages_and_errors_are_news(line: str, news: bool) -> None:
    assert is_news(line) is news


def test_an_unnamed_exit_code_is_one() -> None:
    assert find_exit_code("killed") == 1
