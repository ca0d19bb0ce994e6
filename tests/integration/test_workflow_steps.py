"""The steps of the production workflows, run in order in a small project under git and DVC."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from illmrec.scoring.output import find_latest
from pipelines.registry.tracking import CHALLENGER, CHAMPION, Tracker
from tests.dvc_project import ROOT, commit_all, copy_code, dvc, install_environment, record_as_made
from tests.own_project import copy_project
from tests.workflow_runner import Job, evaluate, fill, run_job

NIGHT = "2026-02-01"
VALUES = {
    "inputs.dataset": "",
    "inputs.date": NIGHT,
    "inputs.force": "true",
    "inputs.start": "",
    "vars.ILLMREC_DATASET": "shop",
    "vars.ILLMREC_OWNER": "owner",
    "github.repository_owner": "owner",
    "secrets.MLFLOW_TRACKING_URI": "",
}
"""What a repository that uses SQLite would have, for a run that was started by hand with `force`."""


@pytest.fixture(scope="module")
def checkout(project: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A production machine's checkout: code, environment, data in a remote, a champion, a published night."""
    root = copy_project(project[0], tmp_path_factory.mktemp("runner") / "project")
    copy_code(root)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "tools", root / "tools")
    install_environment(root)
    record_as_made(root)
    dvc(root, "remote", "add", "-q", "--default", "storage", str(root.parent / "remote"))
    dvc(root, "push", "-q", "data.dvc")
    commit_all(root)
    return root


def read(name: str) -> dict[Any, Any]:
    flow: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    return flow


def run_all(job: Job | None) -> Job:
    """Return a job all of whose steps must have succeeded."""
    assert job is not None
    assert set(job.outcomes.values()) == {"success"}, (job.outcomes, job.printed)
    return job


def test_the_night_is_written_and_its_manifest_is_kept(checkout: Path) -> None:
    shutil.rmtree(checkout / "data" / "shop")  # `dvc pull` must bring it
    job = run_all(run_job(checkout, read("nightly"), "recommend", VALUES))
    night = json.loads((checkout / "work/summary/night.json").read_text())
    assert (night["date"], night["published"]) == (NIGHT, True)
    assert find_latest(checkout / "exports/shop").folder == Path(night["folder"])
    manifest = (checkout / "work/summary/manifest.json").read_bytes()
    assert manifest == (Path(night["folder"]) / "manifest.json").read_bytes()
    assert job.used == ["actions/checkout", "actions/upload-artifact"]
    assert f'"date": "{NIGHT}"' in job.summary


def test_a_forced_retraining_is_registered_and_promoted_in_a_job_of_its_own(checkout: Path) -> None:
    params = checkout / "params.yaml"
    text = params.read_text().replace("epochs: 2, batch_size", "epochs: 1, batch_size")
    params.write_text(text.replace("promote: {", "promote: {margin: 1.0, "))
    job = run_all(run_job(checkout, read("retrain"), "retrain", VALUES))
    assert job.outputs == {"retrained": "true"}
    assert "### growth" in job.summary
    assert '"answer": "nothing"' in job.summary
    assert '"start": "scratch"' in job.summary
    tracker = Tracker(checkout)
    before, retrained = (tracker.resolve("illmrec-shop", alias).number for alias in (CHAMPION, CHALLENGER))
    assert retrained != before
    values = VALUES | {f"needs.retrain.outputs.{name}": text for name, text in job.outputs.items()}
    approved = run_all(run_job(checkout, read("retrain"), "promote", values))
    assert Tracker(checkout).resolve("illmrec-shop", CHAMPION).number == retrained
    assert "exit code 0" in approved.summary
    assert dvc(checkout, "status", "dvc.yaml", "data.dvc").strip() == "Data and pipelines are up to date."


def test_where_nothing_is_due_nothing_is_trained_and_nothing_is_promoted(checkout: Path) -> None:
    job = run_job(
        checkout, _without("retrain", "Environment", "Data", "Gate"), "retrain", VALUES | {"inputs.force": ""}
    )
    assert job is not None
    assert job.outcomes["Retrain"] == "skipped"
    assert job.outputs == {"retrained": "false"}
    values = VALUES | {"needs.retrain.outputs.retrained": job.outputs["retrained"]}
    assert run_job(checkout, read("retrain"), "promote", values) is None


def test_a_failing_gate_stops_the_night_but_not_its_summary(checkout: Path) -> None:
    published = (checkout / "exports/shop/latest.json").read_bytes()
    (checkout / "work/summary").mkdir(parents=True, exist_ok=True)
    (checkout / "work/summary/night.json").write_text('{"published": true}')  # of the night before
    flow = _without("nightly", "Environment", "Data")
    job = run_job(checkout, flow, "recommend", VALUES | {"vars.ILLMREC_DATASET": "nosuch"})
    assert job is not None
    assert job.outcomes["Gate"] == "failure"
    assert job.outcomes["Recommend, audit, publish"] == job.outcomes["Manifest"] == "skipped"
    assert job.outcomes["Summary"] == "success"
    assert "nosuch" in job.summary
    assert "published" not in job.summary, "nothing of the night before"
    assert (checkout / "exports/shop/latest.json").read_bytes() == published


def _without(name: str, *labels: str) -> dict[Any, Any]:
    """Return a workflow without steps that another test runs."""
    flow = read(name)
    for job in flow["jobs"].values():
        job["steps"] = [step for step in job["steps"] if step.get("name") not in labels]
    return flow


@pytest.mark.parametrize("name", ["retrain", "nightly"])
def test_a_fork_runs_nothing(name: str, tmp_path: Path) -> None:
    flow = read(name)
    first = next(iter(flow["jobs"]))
    assert run_job(tmp_path, flow, first, VALUES | {"github.repository_owner": "somebody"}) is None


def test_expressions_are_those_of_the_table() -> None:
    values = {"inputs.a": "", "steps.b.outcome": "success"}
    assert fill("x ${{ inputs.a || 'other' }} y", values) == "x other y"
    assert evaluate("steps.b.outcome == 'success'", values) == "true"
    assert evaluate("steps.b.outcome == 'failure' || inputs.a", values) == ""
    with pytest.raises(KeyError, match=r"secrets\.UNKNOWN"):
        fill("${{ secrets.UNKNOWN }}", values)
