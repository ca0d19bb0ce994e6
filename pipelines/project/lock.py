"""One writer at a time for each stage or job of a data set."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from illmrec.errors import LockedError


@contextlib.contextmanager
def hold_lock(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` for the block; the system frees it when the process dies, however it dies.

    Args:
        path: lock file; it stays behind, empty of meaning.
        wait_seconds: how long to wait for another holder before giving up.

    Raises:
        LockedError: when another process holds it; its process id is in the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _acquire(file, path, time.monotonic() + wait_seconds)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _acquire(file: TextIO, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            file.seek(0)
            holder = file.read().strip() or "unknown"
            hint = "Wait for it to end, or stop it."
            raise LockedError(f"held by process {holder}.", path=path, hint=hint) from None
        return
