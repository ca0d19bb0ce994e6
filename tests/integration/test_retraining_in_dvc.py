"""A retraining in a project that git and DVC watch: what it made is recorded, so nothing is left to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from illmrec.atomic import digest_file
from pipelines.registry.tracking import CHALLENGER, Tracker
from tests.dvc_project import commit_all, copy_code, dvc, record_as_made, run
from tests.integration.conftest import expect_error, run_ok
from tests.own_project import copy_as_own

CLEAN = "Data and pipelines are up to date."


@pytest.fixture(scope="module")
def watched(project: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_as_own(project[0], tmp_path_factory.mktemp("watched") / "project")
    copy_code(root)
    record_as_made(root)
    commit_all(root)
    return root


def read_status(root: Path) -> str:
    return dvc(root, "status", "dvc.yaml", "data.dvc").strip()


def test_after_a_retraining_dvc_finds_nothing_to_do(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(watched / "work" / "site"))
    assert read_status(watched) == CLEAN
    table = watched / "data/own/interactions.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-5]))  # the data moved on
    assert "changed" in read_status(watched)
    facts = run_ok(watched, "retrain", "--no-promote")
    assert facts["ran"][-2:] == ["record", "register"]
    assert read_status(watched) == CLEAN
    changed = run(watched, "git", "status", "--porcelain").split()
    assert {"data.dvc", "dvc.lock"} <= set(changed)
    environment = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    printed = run(watched, "env", f"PATH={environment}", sys.executable, "-m", "dvc", "repro")
    assert "Running stage" not in printed
    tags = Tracker(watched).resolve("illmrec-shop", CHALLENGER).tags
    assert tags["dvc_lock_sha256"] == digest_file(watched / "dvc.lock")


def test_where_dvc_cannot_record_nothing_is_registered(watched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(watched / "work" / "site"))
    before = Tracker(watched).resolve("illmrec-shop", CHALLENGER).number
    params, pipeline = watched / "params.yaml", watched / "dvc.yaml"
    whole = pipeline.read_text()
    params.write_text(params.read_text().replace("epochs: 2,", "epochs: 1,"))
    try:
        pipeline.write_text(whole + "\n  broken: [")
        error = expect_error(watched, "retrain", "--no-promote")
    finally:
        pipeline.write_text(whole)
    assert "dvc commit failed" in str(error)
    assert Tracker(watched).resolve("illmrec-shop", CHALLENGER).number == before
    facts = run_ok(watched, "retrain", "--no-promote")
    assert facts["ran"] == ["record", "register"]
    assert facts["version"] != before
