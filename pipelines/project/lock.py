"""One writer at a time for each stage or job of a data set."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar, cast

from illmrec.errors import LockedError
from pipelines.project.layout import Layout


class HasLayout(Protocol):
    """What a verb is about: something that knows where a data set lies."""

    @property
    def layout(self) -> Layout:
        """Return where it lies."""
        ...


Verb = TypeVar("Verb", bound=Callable[..., Any])
"""A function whose first argument has a layout."""


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


def locked(name: str, wait_seconds: float = 0.0) -> Callable[[Verb], Verb]:
    """Let a verb hold the lock of its data set while it runs, whoever calls it; a verb calls no other of the same lock.

    Args:
        name: of the lock; see :meth:`pipelines.project.layout.Layout.lock`.
        wait_seconds: how long to wait for another holder before giving up.

    Raises:
        LockedError: when another process holds it.
    """

    def decorate(verb: Verb) -> Verb:
        @functools.wraps(verb)
        def run(context: HasLayout, *arguments: Any, **options: Any) -> Any:
            with hold_lock(context.layout.lock(name), wait_seconds):
                return verb(context, *arguments, **options)

        return cast("Verb", run)

    return decorate
