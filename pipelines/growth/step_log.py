"""Which steps of a long job are finished, so that a killed one goes on where it was.

A step counts as finished while its settings, the files it read and the files it wrote are what they were. Files are
told apart by size and time of change: every output is published by rename, so one that was written again is another,
and nothing has to be read to know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.errors import DataError

STATE_FILE = "steps.json"

Result = dict[str, Any]
"""What a step returns and the log keeps: JSON values by name."""


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        name: unique within the job.
        settings: what decides its result beside files.
        reads: files and folders.
        writes: files and folders.
        run: does it.
        adopts: what somebody else has made in its place counts as its result, until it has run here once.
    """

    name: str
    settings: dict[str, Any]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    run: Callable[[], Result]
    adopts: bool = False


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

    def bring_up_to_date(self, step: Step, begin: Callable[[Step], object]) -> Result:
        """Return the result of a step; unless it is finished, tell ``begin`` and run it."""
        # Signed before it runs: what changes meanwhile was perhaps not read.
        inputs = sign_inputs(step.settings, step.reads)
        result = self.find(step.name, inputs, step.writes)
        if result is not None:
            return result
        adopted = step.adopts and step.name not in self._steps and all(path.exists() for path in step.writes)
        if adopted:
            result = {"kept": True}
        else:
            begin(step)
            result = step.run()
        self.record(step.name, inputs, step.writes, result)
        return result

    def find(self, name: str, inputs: str, outputs: Iterable[Path]) -> Result | None:
        """Return the result of a step, if it is finished and nothing around it has changed."""
        step = self._steps.get(name)
        if step is None or step["inputs"] != inputs or step["outputs"] != sign_files(outputs):
            return None
        result: Result = step["facts"]
        return result

    def record(self, name: str, inputs: str, outputs: Iterable[Path], result: Result) -> None:
        """Write down that a step is finished."""
        self._steps[name] = {"inputs": inputs, "outputs": sign_files(outputs), "facts": result}
        atomic.write_json(self._path, self._steps)


def sign_inputs(settings: dict[str, Any], files: Iterable[Path]) -> str:
    """Return a digest of a step's settings and of the files it reads."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(f"{text}\n{sign_files(files)}".encode()).hexdigest()


def sign_files(paths: Iterable[Path]) -> str:
    """Return a digest of names, sizes and times of change of files, and of all files below folders."""
    digest = hashlib.sha256()
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file():
                status = file.stat()
                name = file.relative_to(path.parent).as_posix()
                digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
