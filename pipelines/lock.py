"""One writer at a time for each stage or job of a data set."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from illmrec.errors import LockedError


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` for the block; the system frees it when the process dies, however it dies.

    Raises:
        LockedError: when another process holds it; its process id is in the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            hint = "Wait for it to end, or stop it."
            raise LockedError(f"held by process {holder}.", path=path, hint=hint) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
