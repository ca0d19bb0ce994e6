"""SIGKILL while training and while writing recommendations: nothing is lost, nothing half-written is seen."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from illmrec.scoring.output import check_run, read_latest
from tests.integration.conftest import run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]


def start(root: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start one command in a process of its own."""
    code = "from pipelines.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, "--root", str(root), *arguments, "--dataset", "shop"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def kill_when(process: subprocess.Popen[bytes], happened: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Kill the process as soon as something happened; return whether it was still running."""
    deadline = time.monotonic() + seconds
    while process.poll() is None and not happened():
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail("nothing happened in time")
        time.sleep(0.002)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def read_best(model: Path) -> dict[str, Any]:
    """Return what decides a model: its tensors' digest and its validation figure."""
    body = json.loads((model / "state.json").read_text(encoding="utf-8"))
    return {"tensors": body["tensors_sha256"], "validation": body["state"]["validation_ndcg@10"]}


def test_training_killed_twice_ends_with_the_same_bytes(project: Project, tmp_path: Path) -> None:
    root = copy_project(project[0], tmp_path / "project")
    expected = read_best(root / "artifacts/shop/model")
    shutil.rmtree(root / "artifacts/shop/model")
    checkpoints = root / "work/checkpoints/shop"
    for step in (2, 4):
        mark = f"step-{step:08d}"
        assert kill_when(start(root, "train"), lambda mark=mark: any(checkpoints.glob(f"*/{mark}")))
        assert not (root / "artifacts/shop/model").exists()
    assert run_ok(root, "train")["resumed"] is True
    assert read_best(root / "artifacts/shop/model") == expected


def test_a_night_killed_at_any_point_is_whole_or_absent(project: Project, tmp_path: Path) -> None:
    root = copy_project(project[0], tmp_path / "project")
    exports = root / "exports/shop"
    run_ok(root, "recommend", "--date", "2026-02-01")
    yesterday = read_latest(exports)
    night = exports / "dt=2026-02-02"
    seen_partial = False
    for part in ("part-00000.parquet", "part-00002.parquet", "manifest.json"):
        pattern = f".run=*/{part}"
        kill_when(start(root, "recommend", "--date", "2026-02-02"), lambda pattern=pattern: any(night.glob(pattern)))
        seen_partial |= any(night.glob(".run=*"))
        for whole in night.glob("run=*"):
            check_run(whole)
        latest = read_latest(exports)
        assert latest.height == yesterday.height
    assert seen_partial, "no kill hit the writing; the test proves nothing"
    run_ok(root, "recommend", "--date", "2026-02-02")
    assert not list(night.glob(".run=*"))
    assert json.loads((exports / "latest.json").read_text())["run"].startswith("dt=2026-02-02/")
    assert read_latest(exports).height == yesterday.height
