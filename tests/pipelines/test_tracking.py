"""The tracking store under several processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipelines.registry.tracking import CHAMPION, Tracker

ROOT = Path(__file__).parents[2]

CODE = "import sys; from pathlib import Path; from pipelines.registry.tracking import Tracker\n"
CODE += "print(Tracker(Path(sys.argv[1])).open_experiment('one'))"


def test_processes_that_start_together_share_one_new_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    outputs = [process.communicate(timeout=240) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert len({output for output, _ in outputs}) == 1


@pytest.mark.parametrize("address", [None, ""])
def test_two_projects_of_a_process_have_a_store_each(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address is None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        stores.append(Tracker(tmp_path / name).uri)
    assert stores == [f"sqlite:///{tmp_path / name / 'mlflow.db'}" for name in ("one", "two")]


def test_a_store_that_fails_is_not_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(tmp_path)
    assert tracker.find("shop", CHAMPION) is None
    assert tracker.read_model_tag("shop", "head") is None
    tracker.client.create_registered_model("shop")
    assert tracker.find("shop", CHAMPION) is None, "a model without the alias"

    def fail(*_: Any) -> None:
        raise MlflowException("database is locked")

    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", fail)
    monkeypatch.setattr(MlflowClient, "get_registered_model", fail)
    for ask in (tracker.find, tracker.resolve, tracker.read_model_tag):
        with pytest.raises(MlflowException, match="locked"):
            ask("shop", CHAMPION)
