from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from illmrec.data.files.ahead import DEPTH, read_ahead


def count_to(end: int, seen: list[int]) -> Iterator[int]:
    for number in range(end):
        seen.append(number)
        yield number


def list_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_order_is_kept_and_the_thread_ends() -> None:
    assert list(read_ahead(count_to(100, []))) == list(range(100))
    assert list(read_ahead(iter(()))) == []
    assert list(read_ahead(iter((None, 0, "")))) == [None, 0, ""]
    assert not list_threads()


def test_no_more_is_fetched_than_fits() -> None:
    seen: list[int] = []
    ahead = read_ahead(count_to(100, seen))
    assert next(ahead) == 0
    time.sleep(0.3)
    assert len(seen) == 1 + DEPTH + 1  # taken, waiting, and in the thread's hand
    ahead.close()  # type: ignore[attr-defined]
    assert not list_threads()


def test_an_error_comes_after_what_was_good() -> None:
    def fail() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("line 3")

    ahead = read_ahead(fail())
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="line 3"):
        next(ahead)
    assert not list_threads()
