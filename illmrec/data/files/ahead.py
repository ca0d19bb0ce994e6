"""Reading ahead: a thread fetches what comes next while the caller works on what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

DEPTH = 2
"""Items fetched and not yet taken, at most: it bounds the memory."""

_PATIENCE_S = 0.1
_END = object()


def read_ahead(source: Iterator[Item]) -> Iterator[Item]:
    """Yield what ``source`` yields, in the same order, fetched by a thread of its own.

    It pays where fetching waits for a disk or is done by a library that lets other threads run, such as decompression.
    What ``source`` raises is raised here, after everything before it. The thread ends with this iterator.
    """
    fetched: Queue[object] = Queue(DEPTH)
    stopped = Event()
    thread = Thread(target=_fetch, args=(source, fetched, stopped), name="read-ahead", daemon=True)
    thread.start()
    try:
        while (item := fetched.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item  # type: ignore[misc]  # anything else in the queue is of the source
    finally:
        stopped.set()
        thread.join()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _fetch(source: Iterator[object], fetched: Queue[object], stopped: Event) -> None:
    try:
        for item in source:
            _put(item, fetched, stopped)
            if stopped.is_set():
                return
        _put(_END, fetched, stopped)
    except BaseException as error:  # noqa: BLE001 (it is raised where the items are used)
        _put(_Failure(error), fetched, stopped)


def _put(item: object, fetched: Queue[object], stopped: Event) -> None:
    """Wait for room, but not for a caller who has gone."""
    while not stopped.is_set():
        with suppress(Full):
            fetched.put(item, timeout=_PATIENCE_S)
            return
