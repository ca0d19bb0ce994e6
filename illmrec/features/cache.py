"""Content-addressed features: a picture or text is encoded once per encoder and revision, wherever it appears.

One SQLite file per encoder, keyed by the sha256 of the content. A batch is one transaction, so a killed run loses at
most the batch it was encoding; a renamed picture is found, a changed one is encoded, and reverting a change finds the
first vector again, bit for bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from illmrec.errors import ModelError
from illmrec.sqlite_file import CHUNK, chunk_keys, open_file

_PAGE_BYTES = 16_384
"""Pages that hold several vectors; with SQLite's usual 4 kB most of a page would stay empty."""


_TABLES = [
    ("CREATE TABLE IF NOT EXISTS about (encoder TEXT, revision TEXT, width INTEGER)", ()),
    ("CREATE TABLE IF NOT EXISTS vectors (content TEXT PRIMARY KEY, vector BLOB NOT NULL)", ()),
]
_ABOUT = "INSERT INTO about SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM about)"


class FeatureCache:
    """Vectors of one encoder.

    Args:
        folder: where the files of all encoders lie.
        encoder: name of the encoder, with everything that changes its output (input size, normalisation).
        revision: pinned revision or digest of its weights.
        width: coordinates per vector.

    Raises:
        ModelError: when the file is damaged.
    """

    def __init__(self, folder: Path, encoder: str, revision: str, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(f"{encoder}\n{revision}\n{width}".encode()).hexdigest()[:32]
        self.path = folder / f"{key}.sqlite"
        self.width = width
        about = (encoder, revision, width)
        try:
            self._connection = open_file(self.path, [*_TABLES, (_ABOUT, about)], page_bytes=_PAGE_BYTES)
        except sqlite3.DatabaseError as error:
            hint = "Delete the file and run the command again; its features are then encoded anew."
            raise ModelError(f"the feature cache cannot be used: {error}.", path=self.path, hint=hint) from None

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
        for chunk, marks in chunk_keys(distinct):
            query = f"SELECT content FROM vectors WHERE content IN ({marks})"  # noqa: S608 - only question marks
            found.update(content for (content,) in self._connection.execute(query, chunk))
        return [content for content in distinct if content not in found]

    def store(self, contents: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Keep ``float32 [n, width]`` under their content hashes, in one transaction."""
        rows = [(content, vector.tobytes()) for content, vector in zip(contents, vectors, strict=True)]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def load(self, contents: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]`` of contents that are all present (see :meth:`missing`)."""
        vectors = np.empty((len(contents), self.width), dtype=np.float32)
        for start in range(0, len(contents), CHUNK):
            wanted = contents[start : start + CHUNK]
            vectors[start : start + len(wanted)] = self._load_chunk(wanted)
        return vectors

    def _load_chunk(self, wanted: Sequence[str]) -> npt.NDArray[np.float32]:
        distinct = list(dict.fromkeys(wanted))
        marks = ",".join("?" * len(distinct))
        query = f"SELECT content, vector FROM vectors WHERE content IN ({marks})"  # noqa: S608 - only question marks
        names, blobs = zip(*self._connection.execute(query, distinct), strict=True)
        found = np.frombuffer(b"".join(blobs), dtype=np.float32).reshape(len(names), self.width)
        places = {name: place for place, name in enumerate(names)}
        return found[[places[content] for content in wanted]]


def find_width(folder: Path, encoder: str, revision: str) -> int | None:
    """Return how many coordinates an encoder's cached vectors have, without loading the encoder; None if unknown."""
    for path in sorted(folder.glob("*.sqlite")):
        with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(path)) as connection:
            row = connection.execute("SELECT encoder, revision, width FROM about").fetchone()
            if row is not None and (row[0], row[1]) == (encoder, revision):
                return int(row[2])
    return None
