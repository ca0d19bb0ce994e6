"""Independent parts of a piece of work on Ray Data: bytes go to whichever actor is free, bytes come back.

Which actor does a part, in which order and in which block, changes from run to run; a part's result must depend on
the part alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from illmrec import errors
from pipelines.engines.ray_cluster import connect_ray
from pipelines.engines.ray_errors import raise_written, write_error

Function = Callable[[bytes], bytes]


class PartWork(Protocol):
    """What an actor is sent; it must survive pickling."""

    def start(self) -> Function:
        """Load what does a part, in the actor."""


def map_parts(work: PartWork, parts: Sequence[bytes], actors: int, gpus: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the result of every part, in any order.

    Args:
        work: loaded once in each actor.
        parts: what each call gets.
        actors: how many actors.
        gpus: of each actor.

    Raises:
        IllmrecError: what an actor raised, of the same kind.
    """
    if not parts:
        return
    rows = [{"number": number, "part": part} for number, part in enumerate(parts)]
    with connect_ray(actors + 1) as ray:
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(work,),
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in done.iter_rows():
            raise_written(row["error"])
            yield int(row["number"]), bytes(row["result"])


class _Actor:
    """Lives in a Ray worker."""

    def __init__(self, work: PartWork) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        self._start = work.start
        self._function: Function | None = None

    def __call__(self, columns: dict[str, np.ndarray]) -> dict[str, list[Any]]:
        """Do one part."""
        number, part = int(columns["number"][0]), columns["part"][0]
        try:
            self._function = self._function or self._start()
            return {"number": [number], "result": [self._function(bytes(part))], "error": [""]}
        except errors.IllmrecError as error:
            return {"number": [number], "result": [b""], "error": [write_error(error)]}
