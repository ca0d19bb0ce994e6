"""Publishing files and folders whole: a reader sees the old one or the new one, never a half.

Everything is written beside its destination, flushed to disk and renamed into place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl

TEMPORARY_MARK = ".partial-"
PARQUET_LEVEL = 1
"""Of zstd; the lowest, because these files are written far more often than they are moved."""


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder`` to disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        elif path.is_dir():
            sync_folder(path)
    sync_folder(folder)


@contextlib.contextmanager
def write_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of ``path`` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{TEMPORARY_MARK}{uuid.uuid4().hex[:8]}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def write_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``folder`` when the block ends without an error.

    An existing ``folder`` is moved aside for the instant between two renames and then removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    tag = uuid.uuid4().hex[:8]
    partial = folder.with_name(f".{folder.name}{TEMPORARY_MARK}{tag}")
    partial.mkdir()
    try:
        yield partial
        sync_tree(partial)
        replaced = folder.with_name(f".{folder.name}{TEMPORARY_MARK}{tag}-old")
        if folder.exists():
            folder.rename(replaced)
        partial.rename(folder)
        sync_folder(folder.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sweep_partial(folder: Path, name: str = "*") -> int:
    """Remove what killed writers of ``name`` (default: of anything) left directly in ``folder``; return how many.

    Call it only under the lock that keeps other writers of the same name away.
    """
    leftovers = list(folder.glob(f".{name}{TEMPORARY_MARK}*")) if folder.exists() else []
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    return len(leftovers)


def render_json(value: Any) -> bytes:
    """Return ``value`` as sorted, indented JSON; NaN is refused because other readers refuse it."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def write_json(path: Path, value: Any) -> None:
    """Write the bytes of :func:`render_json`."""
    with write_file(path) as file:
        file.write(render_json(value))


def write_parquet(path: Path, table: pl.DataFrame, about: dict[str, str] | None = None) -> None:
    """Write a table as Parquet (zstd); equal tables give equal bytes. ``about`` is kept beside it as metadata."""
    with write_file(path) as file:
        table.write_parquet(file, compression="zstd", compression_level=PARQUET_LEVEL, statistics=True, metadata=about)


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_folder(folder: Path) -> str:
    """Return one sha256 over the relative names and contents of every file below ``folder``."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\x00{digest_file(path)}\n".encode())
    return total.hexdigest()
