"""Progress bars on stderr: rate and time left on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(items: Iterable[Item], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yield ``items`` while a bar named ``label`` shows how many ``unit`` have passed, the rate and the time left."""
    yield from tqdm(items, desc=label, total=total, unit=unit, disable=None, leave=False, dynamic_ncols=True)
