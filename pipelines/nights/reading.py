"""Representing tonight's users: what the store has is taken from it, the others are read and kept at once."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Indices
from illmrec.errors import InterruptedRunError
from illmrec.features.encode import EncodedBatch, Engine
from illmrec.models.digests import digest_histories, digest_way
from illmrec.models.passes import UserReader
from illmrec.progress import track_items
from illmrec.scoring.representations import RepresentationStore, drop_superseded

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Represented:
    """Users as the model read them."""

    hidden: npt.NDArray[np.float32]
    """``float32 [n, d_llm]``, in the order of the histories."""
    encoded: int
    """Users whose history was read tonight."""
    from_store: int
    """Users taken from the store."""


@dataclass(frozen=True)
class StoreSettings:
    """Where representations are kept, and how long.

    Args:
        folder: where stores lie.
        keep_models: stores to keep, the one in use included.
        keep_days: days a representation stays without being used.
        ignore: read everybody again, whatever is kept.
    """

    folder: Path
    keep_models: int
    keep_days: int
    ignore: bool = False


def represent_audience(
    reader: UserReader,
    histories: Sequence[Indices],
    day: datetime.date,
    identity: dict[str, Any],
    settings: StoreSettings,
    engine: Engine[list[int]],
    stop: threading.Event,
) -> Represented:
    """Represent users by their whole known histories.

    Args:
        reader: the model, ready to read.
        histories: of users with at least one item.
        day: the night.
        identity: of the model; see :func:`illmrec.models.digests.digest_way`.
        settings: where and how long results are kept.
        engine: reads batches of histories, here or elsewhere.
        stop: set when the process was asked to end.

    Raises:
        InterruptedRunError: when it was; what has been read is kept.
    """
    shown = [reader.recommender.cut_history(history) for history in histories]
    digests = digest_histories(reader.recommender, shown)
    way = digest_way(reader, identity)
    with RepresentationStore(settings.folder, way[:32], reader.recommender.backbone.width) as store:
        known = np.zeros(len(digests), dtype=np.bool_) if settings.ignore else store.load(digests)[0]
        missing = list({digest: row for row, digest in enumerate(digests) if not known[row]}.values())
        _read_missing(store, reader, [digests[row] for row in missing], [shown[row] for row in missing], engine, stop)
        store.mark_used(digests, day)
        found, hidden = store.load(digests)
        if not found.all():  # damaged between writing and reading: never seen, but never silently zeros either
            lost = np.flatnonzero(~found)
            hidden[lost] = reader.read([shown[row] for row in lost])
        dropped = store.drop_unused(settings.keep_days)
        superseded = drop_superseded(settings.folder, store.path, settings.keep_models)
    log.info("representations: %d dropped as unused, %d stores as superseded", dropped, len(superseded))
    return Represented(hidden, int((~known).sum()), int(known.sum()))


def _read_missing(
    store: RepresentationStore,
    reader: UserReader,
    digests: Sequence[bytes],
    shown: Sequence[Indices],
    engine: Engine[list[int]],
    stop: threading.Event,
) -> None:
    if not shown:
        return
    batches = reader.plan(shown)
    jobs = [[shown[row].tolist() for row in batch] for batch in batches]
    with track_items("read users", total=len(shown), unit="user") as advance:
        for encoded in engine(jobs):
            rows = batches[encoded.number]
            store.store([digests[row] for row in rows], encoded.vectors)
            advance(len(rows))
            if stop.is_set():
                hint = "Give the same command again: it goes on with the users that are left."
                raise InterruptedRunError("asked to stop; users read so far are kept.", hint=hint)


def read_here(reader: UserReader) -> Engine[list[int]]:
    """Return an engine that reads users in this process."""

    def run(batches: Sequence[Sequence[list[int]]]) -> Iterator[EncodedBatch]:
        for number, batch in enumerate(batches):
            yield EncodedBatch(number, reader.read([np.asarray(history, dtype=np.int32) for history in batch]))

    return run
