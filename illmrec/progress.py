"""Progress bars on stderr: rate and time left on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_silent = False


def silence() -> None:
    """Show no bars from now on, on a terminal either."""
    global _silent  # noqa: PLW0603 - one process has one terminal
    _silent = True


def announce(text: str) -> None:
    """Print a line about work under way on stderr, unless silenced."""
    if not _silent:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _hide() -> bool | None:
    """Return tqdm's ``disable``: True for never, None for on a terminal only."""
    return True if _silent else None


def track(items: Iterable[Item], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yield ``items`` while a bar named ``label`` shows how many ``unit`` have passed, the rate and the time left."""
    yield from tqdm(items, desc=label, total=total, unit=unit, disable=_hide(), leave=False, dynamic_ncols=True)


@contextlib.contextmanager
def track_bytes(label: str, *, total: int | None, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of bytes just received, while a bar shows size, rate and time left.

    Args:
        label: what is received.
        total: its size in bytes; None when unknown.
        done: bytes that were there before.
    """
    with tqdm(
        desc=label,
        total=total,
        initial=done,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=_hide(),
        leave=False,
        dynamic_ncols=True,
    ) as bar:
        yield bar.update


@contextlib.contextmanager
def track_items(label: str, *, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes how many ``unit`` were just done, for work that ends in no particular order."""
    with tqdm(desc=label, total=total, unit=unit, disable=_hide(), leave=False, dynamic_ncols=True) as bar:
        yield bar.update
