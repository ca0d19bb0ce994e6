"""Decoding ahead of the encoder, in processes of their own with limits on memory and time.

A picture that exhausts memory, hangs or crashes a decoder costs that process, not the run: the picture is refused with
a reason, the process is replaced and the batch goes on. Prepared pictures come through memory shared with the decoders,
so that nothing is copied on the way to the encoder. Batches stay in order whatever the number of processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec.errors import DataError, IllmrecError
from illmrec.features import decoder
from illmrec.features.preparation import Preparation

ATTEMPTS = 2
"""A picture is refused when so many decoders died over it: the first may have been stopped from outside."""

PICTURES_PER_WORKER = 256
"""A decoder takes a second to start, which fewer pictures do not pay for."""

MAX_SHARED_BYTES = 1 << 30
"""Most memory for batches decoded ahead; the largest batches wait one at a time."""


@dataclass(frozen=True)
class PictureFile:
    """One picture to decode."""

    path: Path
    """The file, or the place in a shard."""
    sha256: str
    """Digest of its bytes when the catalog was prepared."""


@dataclass(frozen=True)
class DecodeLimits:
    """What one picture may cost."""

    max_pixels: int
    """Pictures whose header declares more are refused."""
    memory_mb: int = 2048
    """Memory a decoder may take beyond what it starts with."""
    seconds: float = 30.0
    """Time from opening the file to the prepared picture."""


@dataclass(frozen=True)
class DecodedBatch:
    """One batch of prepared pictures."""

    pixels: npt.NDArray[np.float32]
    """``float32 [n, 3, height, width]``; shared memory that the next batch but one may overwrite: use it at once."""
    kept: list[int]
    """Positions in the batch of the n pictures."""
    refused: dict[int, str]
    """Positions of all others, with the reason."""


@dataclass
class _Batch:
    block: int
    files: Sequence[PictureFile]
    refused: dict[int, str] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)


class _Worker:
    """One decoder process and the batches it has been given, oldest first."""

    def __init__(self, memory: int, setup: bytes) -> None:
        self._memory, self._setup = memory, setup
        self.queue: deque[_Batch] = deque()
        self.ready = False
        self._start()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        # -c instead of -m: the module is imported under its own name, once.
        code = f"from illmrec.features.decoder import serve; serve({theirs.fileno()}, {self._memory})"
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
        environment = (
            os.environ | threads | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        )
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
                [sys.executable, "-c", code],
                pass_fds=(theirs.fileno(), self._memory),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent; decoders end when it closes their socket
            )
        self.ready = False
        self._connection.send_bytes(self._setup)

    def send(self, batch: _Batch) -> None:
        """Give the process one more batch; one that has just died is seen by :meth:`receive`."""
        self.queue.append(batch)
        self._send(batch)

    def _send(self, batch: _Batch) -> None:
        pictures = [
            None if position in batch.refused else [str(file.path), file.sha256]
            for position, file in enumerate(batch.files)
        ]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send_bytes(json.dumps({"block": batch.block, "pictures": pictures}).encode())

    def receive(self) -> dict[str, Any] | None:
        """Return the answer to the oldest batch, or None when the process died over it."""
        try:
            if not self.ready:
                self._connection.recv_bytes()
                self.ready = True
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError):
            return None
        return answer

    def restart(self) -> None:
        """Replace a dead process and give the new one every batch that is still open."""
        self.stop()
        self._start()
        for batch in self.queue:
            self._send(batch)

    def stop(self) -> int:
        """End the process; return its exit status as :mod:`subprocess` does."""
        self._connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=1.0)
        self.process.kill()
        return self.process.wait()


class DecodingPool:
    """Decoder processes. Use it in a ``with`` block.

    Args:
        preparation: what the encoder wants.
        limits: what one picture may cost.
        batch_size: most pictures of a batch.
        workers: processes.
    """

    def __init__(self, preparation: Preparation, limits: DecodeLimits, *, batch_size: int, workers: int) -> None:
        self._limits = limits
        block_bytes = batch_size * int(np.prod(preparation.shape)) * 4
        # Two batches wait at each decoder and one lies at the encoder.
        self._blocks = max(2, min(2 * workers + 1, MAX_SHARED_BYTES // block_bytes))
        self._memory = _open_shared_memory(decoder.count_bytes(self._blocks, batch_size, preparation))
        self._shared = decoder.map_blocks(self._memory, self._blocks, batch_size, preparation)
        setup = {"preparation": asdict(preparation), "blocks": self._blocks, "batch_size": batch_size} | asdict(limits)
        self._workers = [_Worker(self._memory, json.dumps(setup).encode()) for _ in range(workers)]

    def __enter__(self) -> DecodingPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            if kind is not None or worker.queue:
                worker.process.kill()
            worker.stop()
        os.close(self._memory)

    def decode(self, batches: Iterable[Sequence[PictureFile]]) -> Iterator[DecodedBatch]:
        """Yield every batch, in order, while the next ones are being decoded.

        Raises:
            DataError: when a file is gone or is not what it was when the catalog was prepared.
            IllmrecError: when decoders cannot be started.
        """
        waiting: deque[_Worker] = deque()
        for number, files in enumerate(batches):
            worker = self._workers[number % len(self._workers)]
            block = number % self._blocks
            self._shared.counters[block] = -1
            worker.send(_Batch(block, files))
            waiting.append(worker)
            if len(waiting) == self._blocks:
                yield self._collect(waiting.popleft())
        while waiting:
            yield self._collect(waiting.popleft())

    def _collect(self, worker: _Worker) -> DecodedBatch:
        """Wait for the oldest batch of a worker, through as many deaths as it takes."""
        batch = worker.queue[0]
        while (answer := worker.receive()) is None:
            self._blame(worker, batch)
            for open_batch in worker.queue:
                self._shared.counters[open_batch.block] = -1
            worker.restart()
        worker.queue.popleft()
        for position, reason in answer["stale"].items():
            hint = "Run `illmrec prepare`, or `dvc repro`."
            path = batch.files[int(position)].path
            raise DataError(f"the picture has changed since the catalog was prepared: {reason}.", path=path, hint=hint)
        refused = batch.refused | {int(position): str(reason) for position, reason in answer["refused"].items()}
        kept = [position for position in range(len(batch.files)) if position not in refused]
        pixels = self._shared.pixels[batch.block, : len(batch.files)]
        return DecodedBatch(pixels if not refused else pixels[kept], kept, refused)

    def _blame(self, worker: _Worker, batch: _Batch) -> None:
        """Count a death against the picture it happened over; refuse the picture that has killed too often."""
        position = int(self._shared.counters[batch.block])
        batch.deaths[position] = batch.deaths.get(position, 0) + 1
        if batch.deaths[position] < ATTEMPTS:
            return
        status = worker.stop()
        if position < 0:
            hint = "Try `python -c 'import illmrec.features.decoder'`; more memory may be needed."
            raise IllmrecError(f"picture decoders end before they decode anything (status {status}).", hint=hint)
        batch.refused[position] = self._explain(status)

    def _explain(self, status: int) -> str:
        if status == -signal.SIGALRM:
            return f"decoding took longer than {self._limits.seconds:g} s"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status}"
        return f"decoding ended its process ({name})"


def choose_workers(pictures: int, wanted: int | None) -> int:
    """Return how many decoder processes to start: a few hundred pictures do not pay for a second one.

    Args:
        pictures: pictures to decode.
        wanted: most processes; by default one for each core but one, at most 8.
    """
    most = wanted or min(8, max(1, (os.cpu_count() or 1) - 1))
    return max(1, min(most, -(-pictures // PICTURES_PER_WORKER)))


def _open_shared_memory(size: int) -> int:
    """Return the descriptor of ``size`` bytes that no name leads to and that vanish with their last user."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("illmrec-pictures")
    else:  # not Linux
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, size)
    return descriptor
