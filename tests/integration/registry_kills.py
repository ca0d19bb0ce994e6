"""Kill `register` before each call that changes the store; started by test_registry_kills.py in its own process.

Usage: python registry_kills.py PROJECT [--all]. Prints JSON lines: the call, what was left, what a sweep left.
The parent imports and never opens the store; each registration and each look at it is a fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.onnx
import mlflow.store.model_registry.sqlalchemy_store
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import onnx  # noqa: F401
import onnxruntime  # noqa: F401
from mlflow.tracking._model_registry.client import ModelRegistryClient
from mlflow.tracking._tracking_service.client import TrackingServiceClient

import pipelines.registry.cards.data_card
import pipelines.registry.cards.model_card
import pipelines.registry.carried
import pipelines.registry.ranks
import pipelines.registry.tracking
import pipelines.registry.verdicts
from pipelines.parameters.reading import read_params
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.registry.register import register
from pipelines.registry.sweep import NEEDED_TAGS, sweep

CHANGES = ("create", "finalize", "log_", "set_", "update")
"""How the names of calls begin that change the store."""
TURNING_POINTS = (
    *("create_logged_model", "log_model_artifacts", "finalize_logged_model", "create_model_version"),
    *("set_registered_model_alias", "set_registered_model_tag"),
)
"""Calls after each of which the store is in another state; with ``--all``, every call that changes it is tried."""
NAME, DATASET = "illmrec-shop", "shop"


def make_context(root: Path) -> Context:
    return Context(Layout(root, DATASET), read_params(root / "params.yaml"))


def count_calls(stop_before: int | None, calls: list[str]) -> None:
    """Note every call to the store, and kill this process before one of them."""

    def watch(owner: type, name: str) -> None:
        inner = getattr(owner, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if len(calls) == stop_before:
                os.kill(os.getpid(), signal.SIGKILL)
            return inner(*arguments, **options)

        setattr(owner, name, call)

    for owner in (TrackingServiceClient, ModelRegistryClient):
        for name, value in list(vars(owner).items()):
            if callable(value) and name.startswith(CHANGES):
                watch(owner, name)


def in_fork(work: Callable[[], Any]) -> Any:
    """Run something in a fork; return what it returned, or None when it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.write(writing, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else None


def register_and_count(root: Path, stop_before: int | None) -> list[str]:
    calls: list[str] = []
    count_calls(stop_before, calls)
    register(make_context(root))
    return calls


def look(root: Path) -> dict[str, Any]:
    """Say what is in the store."""
    from mlflow.entities import LoggedModelStatus

    tracker = pipelines.registry.tracking.Tracker(root)
    versions = tracker.list_versions(NAME)
    experiment = tracker.open_experiment(pipelines.registry.tracking.EXPERIMENT)
    models = tracker.client.search_logged_models([experiment])
    return {
        "champion": [version.number for version in versions if "champion" in version.aliases],
        "challenger_complete": all(
            all(tag in version.tags for tag in NEEDED_TAGS) for version in versions if "challenger" in version.aliases
        ),
        "incomplete": [v.number for v in versions if any(tag not in v.tags for tag in NEEDED_TAGS)],
        "open_runs": len(tracker.list_open_runs(pipelines.registry.tracking.EXPERIMENT)),
        "pending": sum(model.status == LoggedModelStatus.PENDING for model in models),
    }


def main(root: Path, *, everywhere: bool) -> None:
    total = in_fork(lambda: register_and_count(root, None))
    for number, name in enumerate(total, start=1):
        if not everywhere and name not in TURNING_POINTS:
            continue
        finished = in_fork(lambda number=number: register_and_count(root, number))
        left, swept = in_fork(lambda: [look(root), sweep(make_context(root), really=True), look(root)][::2])
        sys.stdout.write(json.dumps({"call": name, "killed": finished is None, "left": left, "swept": swept}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), everywhere="--all" in sys.argv)
