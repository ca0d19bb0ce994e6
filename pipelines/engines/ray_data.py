"""Encoding on Ray Data: the driver keeps the cache, actors decode and encode whole batches and return vectors.

Batches are the same as in one process and so are threads per encoder, which makes vectors the same bit for bit. Every
machine of a cluster must see the project under the same path.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from illmrec.features.decoding import DecodeLimits, DecodingPool, PictureFile
from illmrec.features.encode import EncodedBatch, Engine, encode_pictures, encode_texts_here
from pipelines.engines.ray_parts import map_parts
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf

BATCHES_PER_PART = 8
"""Batches an actor gets at a time, so that it decodes one while it encodes another."""


@dataclass(frozen=True)
class TextWork:
    """What an actor needs to encode texts."""

    layout: Layout
    """The project; the encoder is found through it."""

    def start(self) -> Engine[Any]:
        """Load the encoder."""
        from pipelines.assembly.loading import load_text_encoder

        return encode_texts_here(load_text_encoder(Shelf(self.layout))[0].encode_texts)


@dataclass(frozen=True)
class TowerTextWork:
    """What an actor needs to encode texts with the picture encoder's text tower."""

    layout: Layout
    """The project; the encoder is found through it."""

    def start(self) -> Engine[Any]:
        """Load the encoder."""
        from pipelines.assembly.loading import load_image_encoder

        return encode_texts_here(load_image_encoder(Shelf(self.layout))[0].encode_texts)


@dataclass(frozen=True)
class PictureWork:
    """What an actor needs to decode and encode pictures."""

    layout: Layout
    """The project; the encoder is found through it."""
    limits: DecodeLimits
    """What one picture may cost."""
    batch_size: int
    """Most pictures of a batch."""

    def start(self) -> Engine[Any]:
        """Load the encoder and start one decoder process, which ends with the actor."""
        from pipelines.assembly.loading import load_image_encoder

        encoder = load_image_encoder(Shelf(self.layout))[0]
        pool = DecodingPool(encoder.preparation, self.limits, batch_size=self.batch_size, workers=1)

        def run(batches: Sequence[Sequence[Any]]) -> Iterator[EncodedBatch]:
            files = [[PictureFile(Path(path), sha256) for path, sha256 in batch] for batch in batches]
            return encode_pictures(encoder, pool, files)

        return run


class Work(Protocol):
    """What an actor is sent; it must survive pickling."""

    def start(self) -> Engine[Any]:
        """Load what encodes, in the actor."""


def encode_on_ray(work: Work, actors: int) -> Engine[Any]:
    """Return an engine that runs ``work`` in ``actors`` Ray actors."""

    def run(batches: Sequence[Sequence[Any]]) -> Iterator[EncodedBatch]:
        import torch

        # The driver may have given Ray another home folder.
        encoding = EncodingWork(work, os.environ.get("HOME", ""), torch.get_num_threads())
        starts = range(0, len(batches), BATCHES_PER_PART)
        parts = [write_jobs(batches[start : start + BATCHES_PER_PART]) for start in starts]
        for number, encoded in map_parts(encoding, parts, actors, gpus=int(torch.cuda.is_available())):
            for batch in read_batches(encoded):
                yield replace(batch, number=starts[number] + batch.number)

    return run


@dataclass(frozen=True)
class EncodingWork:
    """Encoding as work on parts: each is some batches, encoded together."""

    work: Work
    """What encodes."""
    home: str
    """Where models may have been downloaded to."""
    threads: int
    """Threads of a computation; sums are cut into as many pieces."""

    def start(self) -> Callable[[bytes], bytes]:
        """Load the encoder in an actor."""
        import torch

        os.environ["HOME"] = self.home
        torch.set_num_threads(self.threads)
        engine = self.work.start()
        return lambda part: write_batches(engine(json.loads(part)))


def write_jobs(batches: Sequence[Sequence[Any]]) -> bytes:
    """Return what an actor is asked to encode, as JSON."""
    jobs = [[[str(job.path), job.sha256] if isinstance(job, PictureFile) else job for job in one] for one in batches]
    return json.dumps(jobs).encode()


def write_batches(batches: Iterable[EncodedBatch]) -> bytes:
    """Return encoded batches as bytes that run no code when they are read."""
    encoded = list(batches)
    refused = json.dumps([[batch.number, list(batch.refused.items())] for batch in encoded]).encode()
    vectors = [np.ascontiguousarray(batch.vectors, dtype="<f4") for batch in encoded]
    file = io.BytesIO()
    np.savez(file, np.frombuffer(refused, dtype=np.uint8), *vectors)
    return file.getvalue()


def read_batches(content: bytes) -> Iterator[EncodedBatch]:
    """Yield what :func:`write_batches` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for place, (number, refused) in enumerate(json.loads(arrays["arr_0"].tobytes()), start=1):
            yield EncodedBatch(number, arrays[f"arr_{place}"], dict(refused))
