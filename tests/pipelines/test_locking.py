"""One writer at a time; a dead one holds nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from illmrec.errors import LockedError
from pipelines.project.lock import hold_lock

HOLDER = """
import sys, time
from pathlib import Path
from pipelines.project.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start_holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", HOLDER, str(path), str(seconds)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def take(path: Path, wait_seconds: float = 0.0) -> None:
    with hold_lock(path, wait_seconds):
        pass


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "shop-train.lock"
    holder = start_holder(path, 60)
    try:
        with pytest.raises(LockedError, match=f"process {holder.pid}") as caught:
            take(path)
        assert caught.value.exit_code == 5
        assert str(path) in str(caught.value)
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    holder = start_holder(path, 60)
    holder.kill()
    holder.wait()
    take(path)


def test_waiting_outlasts_a_short_holder(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    holder = start_holder(path, 0.4)
    take(path, wait_seconds=30)
    holder.wait()


def test_waiting_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with hold_lock(path):
        started = time.monotonic()
        with pytest.raises(LockedError):
            take(path, wait_seconds=0.3)
        assert time.monotonic() - started >= 0.3


def test_locks_are_free_again_after_success_and_failure(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    take(path)
    with pytest.raises(ZeroDivisionError), hold_lock(path):
        1 / 0  # noqa: B018
    take(path)


def test_different_locks_do_not_meet(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "a.lock"), hold_lock(tmp_path / "b.lock"):
        pass
