"""SQLite files of this project's stores: opened alike, asked for many keys at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key", str, bytes)
Statement = tuple[str, Sequence[object]]
"""SQL and what its question marks stand for."""

CHUNK = 500
"""Keys of one query; SQLite bounds the question marks of a statement."""


def open_file(path: Path, statements: Iterable[Statement], *, page_bytes: int | None = None) -> sqlite3.Connection:
    """Open or create a file and run statements on it, such as those that make its tables.

    A power cut may lose the last transactions, which must be work that can be done again; the file stays whole.

    Args:
        path: the file; its folder must be there.
        statements: run in order, in one transaction.
        page_bytes: page size of a new file; None for SQLite's own.

    Raises:
        sqlite3.DatabaseError: when the file is damaged or no database; it is closed again.
    """
    connection = sqlite3.connect(path, timeout=60.0)
    try:
        if page_bytes is not None:
            connection.execute(f"PRAGMA page_size={page_bytes}")  # heeded by a new file only
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        for sql, values in statements:
            connection.execute(sql, values)
        connection.commit()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def chunk_keys(keys: Sequence[Key]) -> Iterator[tuple[Sequence[Key], str]]:
    """Yield short runs of ``keys``, each with as many question marks for ``IN (...)``."""
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        yield chunk, ",".join("?" * len(chunk))
