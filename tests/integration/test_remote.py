"""A fresh clone with a DVC remote: outputs are fetched, not made again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.dvc_project import commit_all, copy_code, dvc, record_as_made, run


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
    copy_code(folder)
    shutil.copy(made / "params.yaml", folder)
    for name in ("data", "artifacts"):
        shutil.copytree(made / name, folder / name)
    record_as_made(folder)
    dvc(folder, "remote", "add", "-q", "--default", "storage", str(folder.parent / "remote"))
    dvc(folder, "push", "-q")
    commit_all(folder)
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
