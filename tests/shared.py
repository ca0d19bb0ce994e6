"""What the workers of one test session share: the first that needs it makes it, and nobody changes it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from illmrec.atomic import digest_file


def find_session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of the whole session; a worker's own lies in it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@contextlib.contextmanager
def one_at_a_time(factory: pytest.TempPathFactory, name: str) -> Iterator[None]:
    """Let one worker of the session at a time through; the system frees the lock of one that dies."""
    with (find_session_folder(factory) / f"{name}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
    """Return a folder that ``make`` fills once in a session, and what ``make`` returned.

    Whoever wants to change anything takes a copy: :func:`list_changes` says at the end who did not.
    """
    folder = find_session_folder(factory) / "shared" / name
    record = folder.with_name(f"{name}.json")
    with one_at_a_time(factory, name):
        if not record.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that did not get to the end
            folder.mkdir(parents=True)
            returned = make(folder)
            record.write_text(json.dumps({"returned": returned, "files": _digest_files(folder)}), encoding="utf-8")
    return folder, json.loads(record.read_text(encoding="utf-8"))["returned"]


def list_changes(folder: Path) -> list[str]:
    """Return which files of a shared folder are new, gone or different since it was made."""
    before = json.loads(folder.with_name(f"{folder.name}.json").read_text(encoding="utf-8"))["files"]
    after = _digest_files(folder)
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _digest_files(folder: Path) -> dict[str, str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest_file(path) for path in paths}
