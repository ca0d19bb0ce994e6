"""Encoding what the cache lacks, batch by batch, each batch kept before the next one is waited for.

An engine does the work between the two: it takes batches of jobs (texts, or pictures to decode) and yields their
vectors in any order. The engines here run in this process; others may run elsewhere, as long as a batch stays a batch:
in the last bits, a vector depends on what it was encoded together with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from illmrec.features.cache import FeatureCache
from illmrec.features.decoding import DecodedBatch, DecodeLimits, DecodingPool, PictureFile, choose_workers
from illmrec.features.preparation import Preparation
from illmrec.progress import track

Job = TypeVar("Job")


@dataclass(frozen=True)
class EncodedBatch:
    """What an engine made of one batch."""

    number: int
    """Position of the batch."""
    vectors: npt.NDArray[np.float32]
    """``float32 [n, width]``: vectors of the jobs that were not refused, in the batch's order."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Positions in the batch of jobs without a vector, with the reason."""


Engine = Callable[[Sequence[Sequence[Job]]], Iterator[EncodedBatch]]
"""Batches of jobs to encoded batches, one for each."""


@dataclass(frozen=True)
class Encoded:
    """How much work there was."""

    count: int
    """Contents that were encoded now."""
    refused: Mapping[str, str]
    """Content hash -> why it has no vector."""


class PixelEncoder(Protocol):
    """The part of a picture encoder that comes after decoding."""

    preparation: Preparation

    def encode_pixels(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of prepared pictures, ``float32 [n, 3, height, width]``."""


def hash_text(text: str) -> str:
    """Return the sha256 of a text, the key of its feature."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_texts(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return ``int64 [m]``: which items have a text, and the key of each of these texts."""
    told = np.array([item for item, text in enumerate(texts) if text], dtype=np.int64)
    return told, [hash_text(texts[item]) for item in told.tolist()]


def encode_missing(
    cache: FeatureCache,
    contents: Iterable[str],
    describe: Callable[[str], Job],
    engine: Engine[Job],
    *,
    batch_size: int,
    label: str,
    unit: str,
) -> Encoded:
    """Encode every content that ``cache`` lacks and keep it there, one transaction for each batch.

    Args:
        cache: the encoder's cache.
        contents: content hashes, repeats allowed.
        describe: content hash -> what the engine needs to encode it; asked for missing ones only.
        engine: is not called when nothing is missing.
        batch_size: contents per batch.
        label: name of the progress bar.
        unit: what the bar counts.
    """
    missing = cache.missing(contents)
    if not missing:
        return Encoded(0, {})
    batches = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]
    refused: dict[str, str] = {}

    def keep_batches() -> Iterator[str]:
        for encoded in engine([[describe(content) for content in batch] for batch in batches]):
            batch = batches[encoded.number]
            refused.update({batch[position]: reason for position, reason in encoded.refused.items()})
            kept = [content for position, content in enumerate(batch) if position not in encoded.refused]
            cache.store(kept, encoded.vectors)
            yield from batch

    for _ in track(keep_batches(), label, total=len(missing), unit=unit):
        pass
    return Encoded(len(missing) - len(refused), refused)


def encode_texts_here(encode: Callable[[list[str]], npt.NDArray[np.float32]]) -> Engine[str]:
    """Return an engine that encodes texts in this process."""

    def run(batches: Sequence[Sequence[str]]) -> Iterator[EncodedBatch]:
        for number, batch in enumerate(batches):
            yield EncodedBatch(number, encode(list(batch)))

    return run


def encode_pictures_here(
    load: Callable[[], PixelEncoder], limits: DecodeLimits, *, batch_size: int, workers: int | None = None
) -> Engine[PictureFile]:
    """Return an engine that decodes pictures in processes of their own and encodes them in this one.

    Args:
        load: returns the encoder; called when there is something to encode.
        limits: what one picture may cost.
        batch_size: most pictures of a batch.
        workers: most decoder processes (see :func:`illmrec.features.decoding.choose_workers`).
    """

    def run(batches: Sequence[Sequence[PictureFile]]) -> Iterator[EncodedBatch]:
        encoder = load()
        count = choose_workers(sum(map(len, batches)), workers)
        with DecodingPool(encoder.preparation, limits, batch_size=batch_size, workers=count) as pool:
            yield from encode_pictures(encoder, pool, batches)

    return run


def encode_pictures(
    encoder: PixelEncoder, pool: DecodingPool, batches: Iterable[Sequence[PictureFile]]
) -> Iterator[EncodedBatch]:
    """Yield the vectors of each batch, in order, while ``pool`` decodes the next ones."""
    for number, decoded in enumerate(pool.decode(batches)):
        yield EncodedBatch(number, _encode_kept(encoder, decoded), decoded.refused)


def _encode_kept(encoder: PixelEncoder, decoded: DecodedBatch) -> npt.NDArray[np.float32]:
    return encoder.encode_pixels(decoded.pixels) if decoded.kept else np.zeros((0, 0), dtype=np.float32)
