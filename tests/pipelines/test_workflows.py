"""The CI workflows: pinned, with few rights, away from forks, and made of commands that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pipelines.cli import cli

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
FILES = {path.stem: path for path in sorted(FOLDER.glob("*.yml"))}
PRODUCTION = ("retrain", "nightly")


def read(name: str) -> dict[Any, Any]:
    flow: dict[Any, Any] = yaml.safe_load(FILES[name].read_text(encoding="utf-8"))
    return flow


def list_steps(name: str) -> list[dict[str, Any]]:
    return [step for job in read(name)["jobs"].values() for step in job["steps"]]


def list_calls(script: str) -> list[list[str]]:
    """Return the arguments of every call of illmrec in a script of the shell."""
    pieces = re.findall(r"(?:^|\s)(?:\.venv/bin/)?illmrec ([^|>&;#\n]*)", script.replace("\\\n", " "))
    return [shlex.split(re.sub(r"\d$", "", piece.strip())) for piece in pieces]


def test_there_are_three() -> None:
    assert set(FILES) == {"ci", *PRODUCTION}


@pytest.mark.parametrize("name", list(FILES))
def test_actions_are_pinned_and_rights_are_few(name: str) -> None:
    flow = read(name)
    assert flow["permissions"] == {"contents": "read"}
    for job in flow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"]
    for step in list_steps(name):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", PRODUCTION)
def test_no_pull_request_reaches_a_production_machine(name: str) -> None:
    flow = read(name)
    triggers = flow[True]  # YAML 1.1 reads `on` as true
    assert set(triggers) <= {"schedule", "workflow_dispatch", "push"}
    assert triggers.get("push", {"branches": ["main"]})["branches"] == ["main"]
    assert "concurrency" not in flow
    groups = {name: job.get("concurrency") for name, job in flow["jobs"].items() if name != "promote"}
    assert list(groups.values()) == [{"group": "production-${{ github.repository }}", "cancel-in-progress": False}]
    for job in flow["jobs"].values():
        assert job["runs-on"] == "${{ vars.ILLMREC_RUNNER }}"


def test_promotion_waits_for_an_approval_and_follows_a_retraining() -> None:
    jobs = read("retrain")["jobs"]
    assert "concurrency" not in jobs["promote"], "while it waits, nights go on"
    assert jobs["promote"]["environment"] == "promotion"
    assert jobs["promote"]["needs"] == "retrain"
    assert not any(
        "promote" in call[0] for step in jobs["retrain"]["steps"] for call in list_calls(step.get("run", ""))
    )
    assert read("retrain")[True]["push"]["paths"] == ["data.dvc"]


@pytest.mark.parametrize("name", list(FILES))
def test_nothing_from_outside_is_pasted_into_a_script(name: str) -> None:
    for step in list_steps(name):
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("name", list(FILES))
def test_scripts_are_correct_for_the_shell(name: str) -> None:
    for step in list_steps(name):
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr


def test_every_command_and_option_exists() -> None:
    calls = [call for name in FILES for step in list_steps(name) for call in list_calls(step.get("run", ""))]
    assert {call[0] for call in calls} >= {"growth-check", "retrain", "promote", "recommend", "registry"}
    context = click.Context(cli, info_name="illmrec")
    for call in calls:
        command, rest = cli.get_command(context, call[0]), call[1:]
        assert command is not None, call
        if isinstance(command, click.Group):
            command, rest = command.commands[rest[0]], rest[1:]
        values = {"$START": "warm", "${NIGHT:-$(date -u +%F)}": "2026-01-31"}
        filled = [values.get(word, word) for word in rest]
        command.make_context(call[0], filled, parent=context)  # a wrong option or value is a usage error
