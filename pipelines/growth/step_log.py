"""Which steps of a long job are finished, so that a killed one goes on where it was.

A step counts as finished while its settings, the files it read and the files it wrote are what they were. Files are
told apart by size and time of change: every output is published by rename, so one that was written again is another,
and nothing has to be read to know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.errors import DataError

STATE_FILE = "steps.json"


class StepLog:
    """Finished steps of one job.

    Args:
        folder: where the log lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / STATE_FILE
        self._steps: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            try:
                self._steps = dict(json.loads(self._path.read_text(encoding="utf-8")))
            except (ValueError, TypeError):
                hint = "Remove the file: the job then begins anew."
                raise DataError("is not a log of steps.", path=self._path, hint=hint) from None

    def find(self, name: str, inputs: str, outputs: Iterable[Path]) -> dict[str, Any] | None:
        """Return what a step found, if it is finished and nothing around it has changed."""
        step = self._steps.get(name)
        if step is None or step["inputs"] != inputs or step["outputs"] != sign_files(outputs):
            return None
        facts: dict[str, Any] = step["facts"]
        return facts

    def knows(self, name: str) -> bool:
        """Return whether a step was ever finished here."""
        return name in self._steps

    def record(self, name: str, inputs: str, outputs: Iterable[Path], facts: dict[str, Any]) -> None:
        """Write down that a step is finished."""
        self._steps[name] = {"inputs": inputs, "outputs": sign_files(outputs), "facts": facts}
        atomic.write_json(self._path, self._steps)


def sign_inputs(settings: dict[str, Any], files: Iterable[Path]) -> str:
    """Return a digest of a step's settings and of the files it reads."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(f"{text}\n{sign_files(files)}".encode()).hexdigest()


def sign_files(paths: Iterable[Path]) -> str:
    """Return a digest of names, sizes and times of change of files, and of all files below folders."""
    found = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                facts = file.stat()
                name = file.relative_to(path.parent).as_posix()
                found.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return found.hexdigest()
