"""Content-addressed features: a picture or text is encoded once per encoder and revision, wherever it appears.

One SQLite file per encoder, keyed by the sha256 of the content. A batch is one transaction, so a killed run loses at
most the batch it was encoding; a renamed picture is found, a changed one is encoded, and reverting a change finds the
first vector again, bit for bit.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

_LOOKUP_CHUNK = 500


class FeatureCache:
    """Vectors of one encoder.

    Args:
        folder: where the files of all encoders lie.
        encoder: name of the encoder, with everything that changes its output (input size, normalisation).
        revision: pinned revision or digest of its weights.
        width: coordinates per vector.
    """

    def __init__(self, folder: Path, encoder: str, revision: str, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(f"{encoder}\n{revision}\n{width}".encode()).hexdigest()[:32]
        self.path = folder / f"{key}.sqlite"
        self.width = width
        self._connection = sqlite3.connect(self.path, timeout=60.0)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS about (encoder TEXT, revision TEXT, width INTEGER)")
        self._connection.execute("CREATE TABLE IF NOT EXISTS vectors (content TEXT PRIMARY KEY, vector BLOB NOT NULL)")
        if not self._connection.execute("SELECT 1 FROM about").fetchone():
            self._connection.execute("INSERT INTO about VALUES (?, ?, ?)", (encoder, revision, width))
        self._connection.commit()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def missing(self, contents: Iterable[str]) -> list[str]:
        """Return the distinct content hashes without a vector, in their first order."""
        distinct = list(dict.fromkeys(contents))
        found: set[str] = set()
        for chunk in _chunks(distinct):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT content FROM vectors WHERE content IN ({marks})"  # noqa: S608 - only question marks
            found.update(row[0] for row in self._connection.execute(query, chunk))
        return [content for content in distinct if content not in found]

    def store(self, contents: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Keep ``float32 [n, width]`` under their content hashes, in one transaction."""
        rows = [(content, vector.tobytes()) for content, vector in zip(contents, vectors, strict=True)]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def load(self, contents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of contents that are all present (see :meth:`missing`)."""
        vectors: dict[str, bytes] = {}
        for chunk in _chunks(list(dict.fromkeys(contents))):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT content, vector FROM vectors WHERE content IN ({marks})"  # noqa: S608 - only question marks
            vectors.update(self._connection.execute(query, chunk))
        if not contents:
            return np.zeros((0, self.width), dtype=np.float32)
        return np.stack([np.frombuffer(vectors[content], dtype=np.float32) for content in contents])


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + _LOOKUP_CHUNK] for start in range(0, len(values), _LOOKUP_CHUNK))
