"""Encoding on Ray Data: the driver keeps the cache, actors decode and encode whole batches and return vectors.

Batches are the same as in one process and so are threads per encoder, which makes vectors the same bit for bit. Every
machine of a cluster must see the project under the same path.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from illmrec import errors
from illmrec.features.decoding import DecodeLimits, DecodingPool, PictureFile
from illmrec.features.encode import EncodedBatch, Engine, encode_pictures, encode_texts_here
from pipelines.engines.ray_cluster import connect_ray
from pipelines.engines.ray_errors import raise_written, write_error
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf

BATCHES_PER_CALL = 8
"""Batches an actor gets at a time, so that it decodes one while it encodes another."""

Row = dict[str, Any]
Columns = dict[str, np.ndarray]


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
        settings = {"home": os.environ.get("HOME", ""), "threads": torch.get_num_threads()}
        rows = [{"number": number, "jobs": _write_jobs(batch)} for number, batch in enumerate(batches)]
        with connect_ray(actors + 1) as ray:
            encoded = ray.data.from_items(rows, override_num_blocks=_count_blocks(len(rows), actors)).map_batches(
                _Actor,
                fn_constructor_args=(work, settings),
                batch_size=BATCHES_PER_CALL,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=actors),
                num_cpus=1,
                num_gpus=1 if torch.cuda.is_available() else 0,
            )
            for row in encoded.iter_rows():
                yield _read_row(row)

    return run


def _count_blocks(batches: int, actors: int) -> int:
    """Return into how many pieces the work is cut: enough for every actor, none smaller than one call."""
    return max(1, min(4 * actors, -(-batches // BATCHES_PER_CALL)))


def _write_jobs(batch: Sequence[Any]) -> str:
    return json.dumps([[str(job.path), job.sha256] if isinstance(job, PictureFile) else job for job in batch])


class _Actor:
    """Lives in a Ray worker: loads the encoder once and encodes whatever batches it is given."""

    def __init__(self, work: Any, settings: dict[str, Any]) -> None:
        import torch

        os.environ["HOME"] = settings["home"]  # where models may have been downloaded to
        os.environ["HF_HUB_OFFLINE"] = "1"
        torch.set_num_threads(settings["threads"])
        self._start: Callable[[], Engine[Any]] = work.start
        self._engine: Engine[Any] | None = None

    def __call__(self, columns: Columns) -> dict[str, list[Any]]:
        """Encode some batches; a typed error travels back as a row, because Ray would wrap it in its own."""
        rows: list[Row] = []
        try:
            self._engine = self._engine or self._start()
            encoded = self._engine([json.loads(jobs) for jobs in columns["jobs"]])
            rows = [_write_row(int(columns["number"][batch.number]), batch) for batch in encoded]
        except errors.IllmrecError as error:
            rows = [{"number": -1, "count": 0, "vectors": b"", "refused": "{}", "error": write_error(error)}]
        return {name: [row[name] for row in rows] for name in rows[0]}


def _write_row(number: int, batch: EncodedBatch) -> Row:
    refused = json.dumps({str(position): reason for position, reason in batch.refused.items()})
    vectors = np.ascontiguousarray(batch.vectors, dtype="<f4")
    return {"number": number, "count": len(vectors), "vectors": vectors.tobytes(), "refused": refused, "error": ""}


def _read_row(row: Row) -> EncodedBatch:
    raise_written(row["error"])
    count = int(row["count"])
    vectors = np.frombuffer(row["vectors"], dtype="<f4").reshape(count, -1 if count else 0)
    refused = {int(position): str(reason) for position, reason in json.loads(row["refused"]).items()}
    return EncodedBatch(int(row["number"]), vectors, refused)
