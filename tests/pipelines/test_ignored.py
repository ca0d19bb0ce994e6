"""Products of the pipeline that git would take into a commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.project.ignored import describe_unignored, find_unignored
from tests.pipelines.test_repro import make_project


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    for name in ("artifacts/shop/split/a.parquet", "artifacts/shop/model/b.bin", "data/shop/c.csv", "data.dvc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


def test_outputs_that_nothing_ignores_are_named(repository: Path) -> None:
    assert find_unignored(repository) == ["artifacts/shop (2 files)", "data/shop (1 file)"]
    assert "next: put /artifacts, /data into .gitignore" in describe_unignored(repository)


def test_ignored_outputs_are_fine_and_so_are_files_that_git_should_hold(repository: Path) -> None:
    (repository / ".gitignore").write_text("/data\n")
    (repository / "artifacts/shop/.gitignore").write_text("/split\n/model\n")
    assert find_unignored(repository) == []
    assert describe_unignored(repository) == ""


def test_an_output_that_git_already_holds_is_named_even_when_ignored(repository: Path) -> None:
    git(repository, "add", "data/shop/c.csv")
    (repository / ".gitignore").write_text("/data\n/artifacts\n")
    assert find_unignored(repository) == ["data/shop (1 file)"]


def test_without_a_repository_there_is_nothing_to_say(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "a").write_text("x")
    assert find_unignored(tmp_path) == []


def test_a_failed_run_says_so(tmp_path: Path) -> None:
    root = make_project(tmp_path, broken="hm")
    git(root, "init", "-q")
    (root / "artifacts").mkdir()
    (root / "artifacts" / "left.bin").write_text("x")
    result = CliRunner().invoke(cli, ["--root", str(root), "repro", "--jobs", "1", "--dataset", "hm"])
    assert result.exception is not None
    assert "artifacts/left.bin (1 file)" in result.stderr
