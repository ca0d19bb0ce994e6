"""A fresh clone with a DVC remote: outputs are fetched, not made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("illmrec", "pipelines", "dvc.yaml", ".dvcignore", ".gitignore")


def run(folder: Path, *arguments: str) -> str:
    """Run a command that must succeed; return what it printed."""
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / "work" / "site"), "GIT_AUTHOR_NAME": "t"}
    environment |= {"GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@t"}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dvc(folder: Path, *arguments: str) -> str:
    """Run DVC of this environment."""
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def read_outputs(root: Path) -> dict[str, bytes]:
    """Return every file below ``artifacts`` but the ones that DVC writes for git."""
    files = sorted(path for path in (root / "artifacts").rglob("*") if path.is_file() and path.name != ".gitignore")
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def published(project: tuple[Path, dict[str, object]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record the finished project's outputs as made, push them to a folder, and commit."""
    made, _ = project
    folder = tmp_path_factory.mktemp("published") / "origin"
    folder.mkdir()
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    shutil.copy(made / "params.yaml", folder)
    for name in ("data", "artifacts"):
        shutil.copytree(made / name, folder / name)
    run(folder, "git", "init", "-q")
    dvc(folder, "init", "-q")
    dvc(folder, "add", "-q", "data")
    dvc(folder, "commit", "-f", "dvc.yaml")
    dvc(folder, "remote", "add", "-q", "--default", "storage", str(folder.parent / "remote"))
    dvc(folder, "push", "-q")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "-q", "-m", "state")
    return folder


@pytest.fixture
def clone(published: Path, tmp_path: Path) -> Path:
    run(tmp_path, "git", "clone", "-q", str(published), "clone")
    return tmp_path / "clone"


def test_a_clone_fetches_every_output_and_runs_no_stage(published: Path, clone: Path) -> None:
    assert not (clone / "artifacts").exists()
    assert not (clone / "data").exists()
    printed = dvc(clone, "repro", "--pull")
    assert "Running stage" not in printed
    assert read_outputs(clone) == read_outputs(published)
    assert dvc(clone, "status", "dvc.yaml", "data.dvc").strip() == "Data and pipelines are up to date."


def test_a_changed_parameter_runs_its_stage_on_what_was_fetched(published: Path, clone: Path) -> None:
    params = clone / "params.yaml"
    params.write_text(params.read_text().replace("negatives: 20", "negatives: 19"))
    environment = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = run(clone, "env", f"PATH={environment}", sys.executable, "-m", "dvc", "repro", "--pull", "split@shop")
    assert "Running stage 'split@shop'" in printed
    assert "Running stage 'prepare@shop'" not in printed
    before, after = read_outputs(published), read_outputs(clone)
    assert after["artifacts/shop/prepared/items.parquet"] == before["artifacts/shop/prepared/items.parquet"]
    assert after["artifacts/shop/split/negatives.parquet"] != before["artifacts/shop/split/negatives.parquet"]
