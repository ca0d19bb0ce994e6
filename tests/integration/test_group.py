"""Two processes train what one does, and stop together when they are asked to."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from tests.integration.conftest import run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]


def start_group(root: Path, processes: int = 2) -> subprocess.Popen[str]:
    """Start ``train`` in several processes, as ``accelerate launch`` and ``torchrun`` do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    launcher += ["--master_addr", "127.0.0.1", "--master_port", str(port), "-m", "pipelines"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, "--root", str(root), "train", "--dataset", "shop", "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run_group(root: Path) -> None:
    process = start_group(root)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]


def change(root: Path, **settings: Any) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"] |= settings
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def copy(project: Project, place: Path, **settings: Any) -> Path:
    root = copy_project(project[0], place)
    shutil.rmtree(root / "artifacts/shop/model")
    change(root, **settings)
    return root


def read_curve(root: Path) -> list[dict[str, float]]:
    with (root / "artifacts/shop/curves/train.csv").open() as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def alone(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy(project, tmp_path_factory.mktemp("alone") / "project", epochs=8, patience=100)
    run_ok(root, "train")
    return root


@pytest.fixture(scope="module")
def whole(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train in two processes without a stop: long enough that another such training can be stopped in its middle."""
    root = copy(project, tmp_path_factory.mktemp("whole") / "project", epochs=8, patience=100)
    run_group(root)
    return root


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_give_the_loss_curve_of_one(
    project: Project, alone: Path, whole: Path, tmp_path: Path, shard: bool
) -> None:
    together = whole
    if shard:
        together = copy(project, tmp_path / "together", epochs=8, patience=100, shard_backbone=True)
        run_group(together)
    ours, theirs = read_curve(together), read_curve(alone)
    assert len(ours) == len(theirs) > 5
    for ours_row, theirs_row in zip(ours, theirs, strict=True):
        assert ours_row.keys() == theirs_row.keys()
        for name, value in theirs_row.items():
            assert ours_row[name] == pytest.approx(value, rel=2e-4), name
    tensors = [load_file(root / "artifacts/shop/model/tensors.safetensors") for root in (together, alone)]
    for name, value in tensors[1].items():
        assert float((tensors[0][name] - value).norm()) <= 1e-2 * float(value.norm()), name


def test_processes_that_are_asked_to_stop_do_so_together_and_go_on_later(
    project: Project, whole: Path, tmp_path: Path
) -> None:
    root = copy(project, tmp_path / "stopped", epochs=8, patience=100)
    process = start_group(root)
    checkpoints = root / "work/checkpoints/shop"
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob("*/step-0000000[4-9]")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1][-3000:]
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)  # the launcher hands it to its processes
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "stopped as asked after step" in errors
    assert "Traceback" not in errors.split("stopped as asked")[0]
    assert not (root / "artifacts/shop/model").exists()
    run_group(root)
    assert read_curve(root) == read_curve(whole)


def test_one_process_that_is_asked_to_stop_goes_on_later(project: Project, tmp_path: Path) -> None:
    whole = copy(project, tmp_path / "whole", epochs=10, patience=100)
    run_ok(whole, "train")
    root = copy(project, tmp_path / "stopped", epochs=10, patience=100)
    command = [sys.executable, "-m", "pipelines", "--root", str(root), "train", "--dataset", "shop"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 120
    while not any((root / "work/checkpoints/shop").glob("*/step-0000000[2-9]")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert "stopped as asked after step" in errors
    assert "it goes on from here" in errors
    assert "Traceback" not in errors
    assert run_ok(root, "train")["resumed"] is True
    tensors = [(one / "artifacts/shop/model/tensors.safetensors").read_bytes() for one in (whole, root)]
    assert tensors[0] == tensors[1]
