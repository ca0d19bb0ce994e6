"""A night whose users were read and scored in Ray actors: the same bytes as one that was made in this process."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from illmrec.atomic import digest_folder
from illmrec.errors import ModelError
from tests.integration.conftest import expect_error, run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]

# Looked for, not imported: Ray reads some settings when it is imported.
installed = importlib.util.find_spec("ray") is not None
pytestmark = [pytest.mark.ray, pytest.mark.skipif(not installed, reason="the extra `ray` is not installed")]


def test_ray_reads_and_scores_to_the_same_bytes(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    root = copy_project(project[0], tmp_path / "project")
    local = run_ok(root, "recommend", "--date", "2026-02-01", "--full")
    expected = digest_folder(Path(local["folder"]))
    shutil.rmtree(local["folder"])
    shutil.rmtree(root / "work/representations")
    facts = run_ok(root, "recommend", "--date", "2026-02-01", "--engine", "ray")
    assert facts["folder"] == local["folder"]
    assert facts["users_encoded"] == facts["users_by_model"] > 0
    assert digest_folder(Path(facts["folder"])) == expected
    # What this process would score with is out of its reach, so the rows came from elsewhere.
    monkeypatch.setattr("illmrec.scoring.rows.PartScorer.score", None)
    assert run_ok(root, "recommend", "--date", "2026-02-02", "--engine", "ray")["users_encoded"] == 0
    with pytest.raises(TypeError):
        run_ok(root, "recommend", "--date", "2026-02-03")


def test_an_actor_that_cannot_see_the_project_says_so(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    root = copy_project(project[0], tmp_path / "project")
    run_ok(root, "recommend", "--date", "2026-02-01")
    monkeypatch.setattr(
        "pipelines.nights.making.keep_items", lambda *_, **__: (np.zeros((1, 1), dtype=np.float32), True)
    )
    shutil.rmtree(next((root / "work/representations").rglob("items-*")))
    error = expect_error(root, "recommend", "--date", "2026-02-02", "--engine", "ray")
    assert isinstance(error, ModelError)
    assert "the projected catalog is not there" in str(error)
    assert "same path" in error.hint
