"""Encoding what the cache lacks, in batches, while the next batch is being decoded."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from illmrec.features.cache import FeatureCache
from illmrec.progress import track

Content = TypeVar("Content")

_BATCHES_AHEAD = 2


def hash_text(text: str) -> str:
    """Return the sha256 of a text, the key of its feature."""
    return hashlib.sha256(text.encode()).hexdigest()


def encode_missing(
    cache: FeatureCache,
    sources: Mapping[str, Callable[[], Content]],
    encode: Callable[[list[Content]], npt.NDArray[np.float32]],
    *,
    batch_size: int,
    label: str,
    decoders: int = 2,
) -> int:
    """Encode every content that ``cache`` lacks and keep it there; return how many were encoded.

    Args:
        cache: the encoder's cache.
        sources: content hash -> function that loads the content (a decoded picture, a text).
        encode: contents -> ``float32 [n, width]``.
        batch_size: contents per call of ``encode``; each batch is kept before the next one starts.
        label: name of the progress bar.
        decoders: threads that load contents ahead of the encoder.
    """
    missing = cache.missing(sources)
    batches = [missing[start : start + batch_size] for start in range(0, len(missing), batch_size)]
    with ThreadPoolExecutor(decoders) as pool:
        loaded = _load_ahead(pool, batches, sources)
        for batch, contents in zip(track(batches, label, unit="batch"), loaded, strict=True):
            cache.store(batch, encode(contents))
    return len(missing)


def _load_ahead(
    pool: ThreadPoolExecutor, batches: Sequence[list[str]], sources: Mapping[str, Callable[[], Content]]
) -> Iterator[list[Content]]:
    """Yield loaded batches in order, never holding more than a few of them in memory."""
    waiting: deque[list[Future[Content]]] = deque()
    for batch in batches:
        waiting.append([pool.submit(sources[content]) for content in batch])
        if len(waiting) > _BATCHES_AHEAD:
            yield [future.result() for future in waiting.popleft()]
    while waiting:
        yield [future.result() for future in waiting.popleft()]
