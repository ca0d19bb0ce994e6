"""A kill before any call to the store publishes nothing that is not whole, and a sweep closes what it left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from illmrec.errors import NothingToDoError
from pipelines.parameters.reading import read_params
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHAMPION, OpenRun, Tracker
from tests.integration.conftest import expect_error, run_ok
from tests.own_project import copy_project

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("registry_kills.py")


def test_killed_anywhere_register_publishes_nothing_half_made(
    project: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root = copy_project(project[0], tmp_path / "project")
    params = root / "params.yaml"
    text = params.read_text().replace("promote: {", "promote: {require: [quality], ")
    params.write_text(text + "register: {probe_users: 0}\n")
    champion = Tracker(root).resolve("illmrec-shop", CHAMPION).number
    command = [sys.executable, str(SCRIPT), str(root)]
    done = subprocess.run(
        command, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=500, check=True
    )
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    calls = {kill["call"] for kill in kills}
    assert {"create_model_version", "set_registered_model_alias", "finalize_logged_model"} <= calls, calls
    for kill in kills:
        assert kill["killed"], kill
        assert kill["left"]["champion"] == [champion], kill
        assert kill["left"]["challenger_complete"], kill
        assert kill["swept"] == {**kill["left"], "open_runs": 0, "pending": 0, "incomplete": []}, kill
    # Some kills did leave something to sweep, or the test would prove nothing.
    assert any(kill["left"]["open_runs"] for kill in kills)
    assert any(kill["left"]["pending"] for kill in kills)
    # The log is whole, the champion's files verify, and registering goes on as before.
    registry = Registry(Context(Layout(root, "shop"), read_params(params)))
    assert all(entry.alias != "champion" for entry in registry.read_log()[2:])
    registry.fetch(registry.champion)
    assert isinstance(expect_error(root, "rollback"), NothingToDoError)
    run_ok(root, "register")
    assert run_ok(root, "promote")["replaces"] == champion


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_a_sweep_leaves_the_living_alone(project: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    from pipelines.project.lock import hold_lock
    from pipelines.registry.sweep import judge_runs

    root = copy_project(project[0], tmp_path / "project")
    tracker = Tracker(root)
    run = tracker.start_run("illmrec", "shop")
    tracker.start_run("illmrec", "another data set")
    with hold_lock(Layout(root, "shop").lock("train")):
        facts = run_ok(root, "registry", "sweep", "--yes")
        assert facts["open_runs"] == []
        assert facts["open_runs_left_alone"] == [f"{run.run_id} (train is running)"]
    assert run_ok(root, "registry", "sweep")["open_runs"] == [run.run_id]
    assert len(tracker.list_open_runs("illmrec")) == 2  # only said
    assert run_ok(root, "registry", "sweep", "--yes")["open_runs"] == [run.run_id]
    assert [left.name for left in tracker.list_open_runs("illmrec")] == ["another data set"]
    elsewhere = OpenRun("r", "shop", "shop", "another-machine", started=0.0)
    assert judge_runs([elsewhere], None, None, now=7200.0)[0] == []
    assert judge_runs([elsewhere], None, 1.0, now=7200.0)[0] == [elsewhere]
    assert judge_runs([elsewhere], None, 3.0, now=7200.0)[0] == []


def test_a_version_without_its_tags_is_swept_and_one_with_an_alias_is_not(
    project: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root = copy_project(project[0], tmp_path / "project")
    tracker = Tracker(root)
    source = tracker.client.get_model_version("illmrec-shop", "1").source
    orphan = tracker.client.create_model_version("illmrec-shop", source).version
    assert run_ok(root, "registry", "sweep")["versions"] == [str(orphan)]
    tracker.client.set_registered_model_alias("illmrec-shop", "kept", orphan)
    assert run_ok(root, "registry", "sweep", "--yes")["versions"] == []
    tracker.client.delete_registered_model_alias("illmrec-shop", "kept")
    run_ok(root, "registry", "sweep", "--yes")
    assert [version.number for version in tracker.list_versions("illmrec-shop")] == ["1"]
