"""SIGKILL spread over the export: readers see the whole old night or the whole new one, and nobody is lost or doubled.

``ILLMREC_EXPORT_KILLS=100`` kills a hundred exports instead of a dozen.
"""

from __future__ import annotations

import datetime
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from illmrec.errors import DataError
from illmrec.scoring.output import check_run, find_latest, read_latest
from tests.integration.conftest import run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]

KILLS = int(os.environ.get("ILLMREC_EXPORT_KILLS", "12"))
FIRST_DAY = datetime.date(2026, 3, 1)
ROOT = Path(__file__).parents[2]


class Starter:
    """Starts exports that are killed after a while."""

    def __init__(self, root: Path) -> None:
        self._root = root
        command = [sys.executable, "-m", "tests.faults.killed_export"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )
        assert self._say() == "ready"

    def _say(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def export(self, seconds: float, day: datetime.date, *, writing: bool = False) -> tuple[bool, float]:
        """Run a full export; return whether it was killed, and after how many seconds it ended.

        Args:
            seconds: when to kill; negative for not at all.
            day: the night.
            writing: count seconds from when the night's folder is there.
        """
        assert self._process.stdin is not None
        folder = self._root / f"exports/shop/dt={day.isoformat()}" if writing else "-"
        arguments = f"recommend --dataset shop --json --full --date {day.isoformat()}"
        self._process.stdin.write(f"{seconds} {folder} --root {self._root} {arguments}\n")
        self._process.stdin.flush()
        how, took, *status = self._say().split()
        assert how == "killed" or status == ["0"], f"the export failed with {status}"
        return how == "killed", float(took)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class Reader:
    """Reads what is published, over and over, and keeps what it saw."""

    def __init__(self, exports: Path) -> None:
        self.seen: set[str] = set()
        self.faults: list[str] = []
        self._exports = exports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stop.is_set():
            try:
                self.seen.add(find_latest(self._exports).date)
                count_lists(read_latest(self._exports))
            except (DataError, AssertionError, OSError) as error:
                self.faults.append(str(error))
            self._stop.wait(0.01)


def count_lists(table: pl.DataFrame) -> int:
    """Return how many users a night serves; each must have every rank once."""
    counts = table.group_by("user_id").agg(pl.len(), pl.col("rank").n_unique().alias("ranks"))
    assert counts.filter((pl.col("len") != 20) | (pl.col("ranks") != 20)).is_empty()
    return counts.height


@pytest.fixture
def starter(project: Project, tmp_path: Path) -> Iterator[tuple[Starter, Path]]:
    root = copy_project(project[0], tmp_path / "project")
    starter = Starter(root)
    yield starter, root
    starter.close()


def test_killed_anywhere_readers_see_a_whole_night(starter: tuple[Starter, Path]) -> None:
    run, root = starter
    exports = root / "exports/shop"
    users = count_lists(read_latest(exports))
    days = (FIRST_DAY + datetime.timedelta(days=number) for number in itertools.count())
    # The first run reads files that later ones find in memory; the second and third tell how long things take.
    took = [run.export(-1, next(days), writing=writing)[1] for writing in (False, False, True)]
    phases = {"nothing new": 0, "rows written": 0, "published": 0, "not killed": 0}
    attempts = itertools.count()
    while sum(phases.values()) - phases["not killed"] < KILLS:
        number = next(attempts)
        assert number < 4 * KILLS + 8, f"exports end before they are killed: {phases}"
        before, day = find_latest(exports).date, next(days)
        # Every other kill comes while files are written, which is a small part of the whole.
        writing = number % 2 == 1
        with Reader(exports) as reader:
            # Multiples of the golden ratio lie evenly, wherever the sequence is cut off.
            delay = took[1 + writing] * ((number + 0.5) * 0.618034 % 1.0)
            killed, ended = run.export(delay, day, writing=writing)
        if not killed:  # faster than the one that was timed
            took[1 + writing] = min(took[1 + writing], ended)
        assert reader.faults == []
        assert reader.seen <= {before, day.isoformat()}
        written = list((exports / f"dt={day.isoformat()}").glob("run=*"))
        for folder in written:
            check_run(folder)
        latest = find_latest(exports).date
        assert latest in (before, day.isoformat())
        assert count_lists(read_latest(exports)) == users
        published = latest == day.isoformat()
        phases["published" if killed and published else "not killed" if not killed else
               "rows written" if written else "nothing new"] += 1  # fmt: skip
    print(f"{KILLS} kills over {took[1]:.2f} s, {took[2]:.2f} s of them writing: {phases}")  # noqa: T201 - shown with pytest -s
    assert phases["nothing new"] > 0, "no kill came before the end; the test proves nothing"
    day = next(days)
    facts = run_ok(root, "recommend", "--date", day.isoformat())
    assert facts["users_from_store"] == facts["users_by_model"], "what killed exports had read was lost"
    assert count_lists(read_latest(exports)) == facts["users"] == users
    assert not [path for path in (exports / f"dt={day.isoformat()}").iterdir() if ".partial-" in path.name]
