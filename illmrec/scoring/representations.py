"""Users' representations kept between nights, so that a user is read again only when something about him has changed.

One SQLite file per way of reading (model, language model, arithmetic), keyed by a digest of what was read. Vectors are
float32, exactly as they were computed: 4 bytes a coordinate, 3 kB for a language model 768 wide, 10 kB for one 2560
wide. Each carries a checksum of its own, because SQLite notices a damaged page but not a damaged number. What is
damaged is dropped with a warning and computed again; nothing here is the only copy of anything.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from illmrec.sqlite_file import CHUNK, open_file

log = logging.getLogger(__name__)

_PAGE_BYTES = 16_384
_SCHEMA = 1
_TABLES = [
    ("PRAGMA auto_vacuum=INCREMENTAL", ()),
    ("CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, checksum BLOB NOT NULL, vector BLOB)", ()),
    ("CREATE TABLE IF NOT EXISTS uses (digest BLOB PRIMARY KEY, day INTEGER NOT NULL) WITHOUT ROWID", ()),
]

Vectors = npt.NDArray[np.float32]


class RepresentationStore:
    """Vectors of one way of reading.

    Args:
        folder: where the files of all ways lie.
        key: name of this way, fit for a file name.
        width: coordinates per vector.
    """

    def __init__(self, folder: Path, key: str, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{key}.sqlite"
        self.width = width
        self._connection = self._open()
        self.path.touch()  # the order in which superseded files are dropped

    def __enter__(self) -> RepresentationStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise  # somebody else has it open, which says nothing about the file
            self._discard(error)
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = open_file(self.path, _TABLES, page_bytes=_PAGE_BYTES)
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, _SCHEMA):
                raise sqlite3.DatabaseError(f"written in form {found}, expected {_SCHEMA}")
            connection.execute(f"PRAGMA user_version={_SCHEMA}")
            connection.commit()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        return connection

    def _discard(self, error: sqlite3.DatabaseError) -> None:
        log.warning("%s: the store of representations is damaged (%s); it is built anew.", self.path, error)
        remove_store(self.path)

    def _rebuild(self, error: sqlite3.DatabaseError) -> None:
        self._connection.close()
        self._discard(error)
        self._connection = self._connect()

    def load(self, digests: Sequence[bytes]) -> tuple[npt.NDArray[np.bool_], Vectors]:
        """Return ``bool [n]``, which of the digests are known, and ``float32 [n, width]``, zeros where not."""
        known = np.zeros(len(digests), dtype=np.bool_)
        vectors = np.zeros((len(digests), self.width), dtype=np.float32)
        try:
            for start in range(0, len(digests), CHUNK):
                self._load_chunk(digests[start : start + CHUNK], start, known, vectors)
        except sqlite3.OperationalError:
            raise  # a full disk or a lock says nothing about the file
        except sqlite3.DatabaseError as error:
            self._rebuild(error)
            known[:], vectors[:] = False, 0.0
        return known, vectors

    def _load_chunk(self, wanted: Sequence[bytes], start: int, known: npt.NDArray[np.bool_], vectors: Vectors) -> None:
        distinct = list(dict.fromkeys(wanted))
        marks = ",".join("?" * len(distinct))
        query = f"SELECT digest, checksum, vector FROM vectors WHERE digest IN ({marks})"  # noqa: S608 - only marks
        found, damaged = {}, []
        for digest, checksum, blob in self._connection.execute(query, distinct):
            if checksum == _checksum(digest, blob) and len(blob) == 4 * self.width:
                found[digest] = np.frombuffer(blob, dtype="<f4")
            else:
                damaged.append(digest)
        if damaged:
            log.warning("%s: %d representations are damaged; they are computed again.", self.path, len(damaged))
            with self._connection:
                self._connection.executemany("DELETE FROM vectors WHERE digest = ?", [(one,) for one in damaged])
        for place, digest in enumerate(wanted, start):
            if digest in found:
                known[place], vectors[place] = True, found[digest]

    def store(self, digests: Sequence[bytes], vectors: Vectors) -> None:
        """Keep ``float32 [n, width]`` under their digests, in one transaction."""
        blobs = [np.ascontiguousarray(vector, dtype="<f4").tobytes() for vector in vectors]
        rows = [(digest, _checksum(digest, blob), blob) for digest, blob in zip(digests, blobs, strict=True)]
        with self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)

    def mark_used(self, digests: Sequence[bytes], day: datetime.date) -> None:
        """Note that a night of ``day`` used these."""
        rows = [(digest, day.toordinal()) for digest in dict.fromkeys(digests)]
        change = "INSERT INTO uses VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET day = max(day, excluded.day)"
        with self._connection:
            self._connection.executemany(change, rows)

    def drop_unused(self, days: int) -> int:
        """Drop what no night of the ``days`` days up to the newest one used; return how many were dropped."""
        newest = self._connection.execute("SELECT max(day) FROM uses").fetchone()[0]
        if newest is None:
            return 0
        with self._connection:
            self._connection.execute("DELETE FROM uses WHERE day <= ?", (newest - days,))
            dropped = self._connection.execute("DELETE FROM vectors WHERE digest NOT IN (SELECT digest FROM uses)")
        self._connection.execute("PRAGMA incremental_vacuum").fetchall()
        return int(dropped.rowcount)

    def __len__(self) -> int:
        """Return how many vectors are kept."""
        return int(self._connection.execute("SELECT count(*) FROM vectors").fetchone()[0])


def drop_superseded(folder: Path, current: Path, keep: int) -> list[Path]:
    """Remove the files of all ways of reading but ``current`` and those used last, ``keep`` in all; return them."""
    others = sorted(_list_stores(folder, current), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    dropped = others[max(keep - 1, 0) :]
    for path in dropped:
        remove_store(path)
    return dropped


def _list_stores(folder: Path, current: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.sqlite") if path != current)


def remove_store(path: Path) -> None:
    """Remove a store's file and what SQLite keeps beside it."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


def _checksum(digest: bytes, blob: bytes) -> bytes:
    return hashlib.blake2b(blob, key=digest, digest_size=8).digest()
