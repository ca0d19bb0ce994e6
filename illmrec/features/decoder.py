"""The process that decodes pictures: it may run out of memory, hang or crash without harm to the run.

It takes batches over a socket as JSON, writes prepared pictures into memory shared with its parent (see
:mod:`illmrec.features.decoding`) and answers with what it refused. It ends when the parent closes the socket or dies.
Nothing is unpickled on either side: a decoder taken over by a picture could send only text.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import resource
import signal
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec.columns import IMAGE_OK
from illmrec.data.images import read_rgb
from illmrec.features.preparation import Preparation

STALE = ("missing", "unsafe_path")
"""Statuses that mean the catalog has changed since it was prepared; every other one is the picture's own fault."""


@dataclass(frozen=True)
class SharedBlocks:
    """Memory that parent and decoders share: a counter and the prepared pictures of each of several batches."""

    counters: npt.NDArray[np.int64]
    """``int64 [blocks]``: position of the picture being decoded, -1 before the first."""
    pixels: npt.NDArray[np.float32]
    """``float32 [blocks, batch_size, 3, height, width]``."""


def count_bytes(blocks: int, batch_size: int, preparation: Preparation) -> int:
    """Return the size of the shared memory."""
    return _round_to_page(blocks * 8) + blocks * batch_size * int(np.prod(preparation.shape)) * 4


def map_blocks(descriptor: int, blocks: int, batch_size: int, preparation: Preparation) -> SharedBlocks:
    """Map the shared memory behind an open file."""
    memory = mmap.mmap(descriptor, count_bytes(blocks, batch_size, preparation))
    pixels = np.frombuffer(memory, dtype=np.float32, offset=_round_to_page(blocks * 8))
    return SharedBlocks(
        np.frombuffer(memory, dtype=np.int64, count=blocks), pixels.reshape(blocks, batch_size, *preparation.shape)
    )


def _round_to_page(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def serve(socket: int, memory: int) -> None:
    """Decode batches until the parent is gone.

    Args:
        socket: descriptor of the connection; the first message says how to prepare pictures and what the limits are.
        memory: descriptor of the shared memory.
    """
    connection = Connection(socket)
    with contextlib.suppress(EOFError, OSError):
        setup = json.loads(connection.recv_bytes())
        preparation = Preparation(**setup["preparation"])
        blocks = map_blocks(memory, setup["blocks"], setup["batch_size"], preparation)
        warnings.simplefilter("ignore")  # Pillow warns of large pictures; they are refused by their own limit
        _limit_process(setup["memory_mb"])
        connection.send_bytes(b"{}")
        while True:
            batch = json.loads(connection.recv_bytes())
            refused, stale = _decode_batch(blocks, batch, preparation, setup)
            connection.send_bytes(json.dumps({"refused": refused, "stale": stale}).encode())


def _limit_process(memory_mb: int) -> None:
    """Let the process take so much memory on top of what it has, and be the first to go when the machine runs short."""
    with contextlib.suppress(OSError, ValueError):  # not every system tells or obeys
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * mmap.PAGESIZE + memory_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _decode_batch(
    blocks: SharedBlocks, batch: dict[str, Any], preparation: Preparation, setup: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Decode one batch; return what is wrong with single pictures, by position: refused ones and stale ones."""
    refused: dict[str, str] = {}
    stale: dict[str, str] = {}
    block = batch["block"]
    for position, entry in enumerate(batch["pictures"]):
        if entry is None:
            continue
        blocks.counters[block] = position
        # The default action of this signal ends the process, in the middle of C code too.
        signal.setitimer(signal.ITIMER_REAL, setup["seconds"])
        status, reason = _decode_one(Path(entry[0]), entry[1], preparation, setup, blocks.pixels[block, position])
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        if status != IMAGE_OK:
            (stale if status in STALE else refused)[str(position)] = reason
    return refused, stale


def _decode_one(
    path: Path, sha256: str, preparation: Preparation, setup: dict[str, Any], out: npt.NDArray[np.float32]
) -> tuple[str, str]:
    too_much = "undecodable", f"decoding needs more than {setup['memory_mb']:,} MB"
    try:
        picture, probe = read_rgb(path, setup["max_pixels"])
        if probe.sha256 not in ("", sha256):
            return "missing", f"sha256 is {probe.sha256[:12]}..., expected {sha256[:12]}..."
        if picture is None:
            return too_much if probe.reason.startswith("MemoryError") else (probe.status, probe.reason)
        preparation.prepare(picture, out)
    except MemoryError:
        return too_much
    except Exception as error:  # noqa: BLE001 - whatever one picture does, the next ones get their turn
        return "undecodable", f"{type(error).__name__}: {error}"
    return IMAGE_OK, ""
