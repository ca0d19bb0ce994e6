"""Downloaded pictures in append-only tar files with one index.

Layout below a raw folder's ``images``::

    shards/00000.tar   plain ustar; finished at 4,096 pictures or 256 MiB and never changed afterwards
    index.parquet      one row per item and position, those without a usable picture included

A picture is addressed by where its bytes lie: ``shards/00000.tar@<offset>+<bytes>``. The index is what counts: it is
replaced whole after the shards were flushed, so a writer killed at any moment leaves at most a tail that no row names,
and the next writer cuts it off.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import polars as pl

from illmrec import atomic
from illmrec.columns import IMAGE_OK, ITEM_ID, Schema
from illmrec.errors import DataError

INDEX_NAME = "index.parquet"
SHARDS_NAME = "shards"

INDEX: Schema = {
    ITEM_ID: pl.String,
    "position": pl.Int32,
    "url": pl.String,
    "status": pl.String,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "bytes": pl.Int64,
    "shard": pl.String,
    "offset": pl.Int64,
    "reason": pl.String,
    "fetched_at": pl.Int64,
}
"""One row per item and position. ``status`` is ok, dead, placeholder, broken, refused or failed; ``shard`` and
``offset`` are null where nothing was stored; ``fetched_at`` in seconds since 1970 UTC."""

MAX_PICTURES = 4096
"""Pictures after which a shard is finished."""

MAX_BYTES = 256 * 1024 * 1024
"""Bytes after which a shard is finished; one larger picture still fits, alone."""

MIN_BATCH = 512
"""Rows gathered before the index is written; larger indexes wait for more, so that rewriting stays cheap."""

_BLOCK = tarfile.BLOCKSIZE
_TRAILER = bytes(2 * _BLOCK)  # the two empty blocks that end a tar file
_SLICE = re.compile(r"(?P<file>.+\.tar)@(?P<offset>[0-9]{1,15})\+(?P<length>[0-9]{1,15})")
_SHARD = re.compile(r"[0-9]{5}\.tar")
_HINT = "Restore the folder from DVC or a backup, or remove images/shards and images/index.parquet and fetch again."


class Slice(NamedTuple):
    """Some bytes of a file."""

    path: Path
    offset: int
    length: int


class Stored(NamedTuple):
    """Where a picture lies: the shard's name and the place of its bytes."""

    shard: str
    offset: int
    length: int

    @property
    def reference(self) -> str:
        """The picture's name relative to the images folder."""
        return write_reference(*self)


class PictureRow(NamedTuple):
    """One row of :data:`INDEX`, in its order."""

    item_id: str
    position: int
    url: str
    status: str
    sha256: str
    width: int
    height: int
    bytes: int
    shard: str | None
    offset: int | None
    reason: str
    fetched_at: int


def write_reference(shard: str, offset: int, length: int) -> str:
    """Return the reference of a picture in a shard, relative to the images folder."""
    return f"{SHARDS_NAME}/{shard}@{offset}+{length}"


def parse_slice(path: Path) -> Slice | None:
    """Return the slice that a path such as ``.../00000.tar@512+1200`` names; None for an ordinary path."""
    found = _SLICE.fullmatch(path.name)
    if found is None:
        return None
    return Slice(path.with_name(found["file"]), int(found["offset"]), int(found["length"]))


def read_index(images: Path) -> pl.DataFrame:
    """Read the index of an images folder; empty where there is none.

    Raises:
        DataError: when the file is damaged, lacks a column or holds a place that cannot be one.
    """
    path = images / INDEX_NAME
    if not path.is_file():
        return pl.DataFrame(schema=INDEX)
    try:
        index = pl.read_parquet(path, columns=list(INDEX)).cast(pl.Schema(INDEX))
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not an index of pictures: {first}.", path=path, hint=_HINT) from None
    sound = (
        pl.col("shard").str.contains(f"^{_SHARD.pattern}$")
        & (pl.col("offset") >= 0)
        & (pl.col("bytes") >= 0)
        & pl.col("sha256").str.contains("^[0-9a-f]{64}$")
    )
    strange = index.filter(pl.col("shard").is_not_null() & ~sound.fill_null(value=False))
    if strange.height:
        item, place = strange[ITEM_ID][0], (strange["shard"][0], strange["offset"][0], strange["bytes"][0])
        message = f"places the picture of item {item!r} at {place}; expected ('NNNNN.tar', offset, bytes) and a sha256."
        raise DataError(message, path=path, hint=_HINT)
    return index


def list_sharded_pictures(images: Path) -> dict[str, str]:
    """Return {item id: reference} of the usable pictures in the index, the lowest position of each item.

    Raises:
        DataError: as :func:`read_index`.
    """
    index = read_index(images)
    usable = index.filter((pl.col("status") == IMAGE_OK) & pl.col("shard").is_not_null()).sort(ITEM_ID, "position")
    first = usable.unique(ITEM_ID, keep="first", maintain_order=True)
    rows = zip(first[ITEM_ID], first["shard"], first["offset"], first["bytes"], strict=True)
    return {item: write_reference(shard, offset, length) for item, shard, offset, length in rows}


class ShardStore:
    """The only writer of an images folder; the caller holds a lock that keeps others away.

    Args:
        images: folder that holds, or will hold, ``shards`` and the index.
        max_pictures: pictures of a finished shard.
        max_bytes: bytes of a finished shard.
        min_batch: rows that are gathered before the index is written.

    Raises:
        DataError: when shards and index do not belong together.
    """

    def __init__(
        self, images: Path, *, max_pictures: int = MAX_PICTURES, max_bytes: int = MAX_BYTES, min_batch: int = MIN_BATCH
    ) -> None:
        self.images, self.folder = images, images / SHARDS_NAME
        self._max_pictures, self._max_bytes, self._min_batch = max_pictures, max_bytes, min_batch
        self._pending: dict[tuple[str, int], PictureRow] = {}
        self._overruled: dict[str, tuple[str, str]] = {}
        self._file: BinaryIO | None = None
        self._has_index = (images / INDEX_NAME).is_file()
        self.index = read_index(images)
        self._number, self._end, self._count = _recover(self.folder, self.index, has_index=self._has_index)
        self._stored = _list_stored(self.index)

    def add(self, row: PictureRow, content: bytes | None = None) -> Stored | None:
        """Record a picture; it is safe on disk after the next :meth:`flush`, which may happen in here.

        Args:
            row: replaces an earlier row of the same item and position; shard and offset are filled in here.
            content: the picture's bytes, stored once however many items show them; None where there are none to keep.
        """
        stored = None if content is None else self._store(row.sha256, content)
        if stored is not None:
            row = row._replace(shard=stored.shard, offset=stored.offset)
        self._pending[row.item_id, row.position] = row
        if len(self._pending) >= max(self._min_batch, self.index.height // 100):
            self.flush()
        return stored

    def overrule(self, sha256: str, status: str, reason: str) -> None:
        """Give another status to every usable picture of these bytes, earlier ones included."""
        self._overruled[sha256] = (status, reason)

    def count_statuses(self) -> dict[str, int]:
        """Return how many pictures of the written index have each status, sorted by name."""
        return dict(self.index["status"].value_counts().sort("status").iter_rows())

    def flush(self) -> None:
        """Make everything added so far durable: the shard first, then the index."""
        if not self._pending and not self._overruled and self._has_index:
            return
        if self._file is not None:
            self._file.seek(self._end)
            self._file.write(_TRAILER)
            self._file.truncate()
            self._file.flush()
            os.fsync(self._file.fileno())
            atomic.sync_folder(self.folder)
        added = pl.DataFrame(list(self._pending.values()), schema=INDEX, orient="row")
        merged = pl.concat([self.index, added]).unique([ITEM_ID, "position"], keep="last")
        self.index = _apply(self._overruled, merged).sort(ITEM_ID, "position")
        atomic.write_parquet(self.images / INDEX_NAME, self.index)
        self._has_index = True
        self._pending.clear()
        self._overruled.clear()

    def close(self) -> None:
        """Flush and release the open shard."""
        self.flush()
        self._release()

    def _store(self, sha256: str, content: bytes) -> Stored:
        key = bytes.fromhex(sha256)
        if key in self._stored:
            return self._stored[key]
        member = tarfile.TarInfo(sha256)
        member.size = len(content)
        header = member.tobuf(tarfile.USTAR_FORMAT)
        file = self._open_for(len(header) + _pad(len(content)))
        offset = self._end + len(header)
        file.seek(self._end)
        file.write(header + content + bytes(_pad(len(content)) - len(content)))
        self._end = offset + _pad(len(content))
        self._count += 1
        self._stored[key] = Stored(_name(self._number), offset, len(content))
        return self._stored[key]

    def _open_for(self, size: int) -> BinaryIO:
        """Return the shard that takes ``size`` more bytes, finishing a full one first."""
        full = self._count >= self._max_pictures or (self._count > 0 and self._end + size > self._max_bytes)
        if full or not self._has_index:
            self.flush()  # before a shard is begun: at most one is ever ahead of the index
        if full:
            self._release()
            self._number, self._end, self._count = self._number + 1, 0, 0
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / _name(self._number)
            _take_ownership(path)
            self._file = path.open("r+b" if path.exists() else "w+b")
        return self._file

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _recover(folder: Path, index: pl.DataFrame, *, has_index: bool) -> tuple[int, int, int]:
    """Make the shards what the index says; return number, end and pictures of the shard to go on with."""
    present = sorted(path for path in folder.glob("*.tar") if _SHARD.fullmatch(path.name)) if folder.exists() else []
    known = _summarise_shards(index)
    ahead = [path for path in present if path.name > max(known, default="")]
    if len(ahead) > 1 or (present and not has_index):
        names = ", ".join(path.name for path in ahead or present)
        raise DataError(f"holds shards that the index does not know: {names}.", path=folder, hint=_HINT)
    for name, (end, _) in known.items():
        size = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if size < end:
            message = f"has {size:,} bytes, the index names pictures up to byte {end:,}."
            raise DataError(message, path=folder / name, hint=_HINT)
    for path in ahead:
        path.unlink()
    if not known:
        return 0, 0, 0
    last = max(known)
    end, count = known[last]
    if (folder / last).stat().st_size != end + len(_TRAILER):
        _take_ownership(folder / last)
        with (folder / last).open("r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.write(_TRAILER)
    return int(last.removesuffix(".tar")), end, count


def _summarise_shards(index: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Return {shard: (byte after its last picture, pictures)}."""
    ends = index.filter(pl.col("shard").is_not_null()).select(
        "shard", "offset", end=pl.col("offset") + (pl.col("bytes") + _BLOCK - 1) // _BLOCK * _BLOCK
    )
    grouped = ends.group_by("shard").agg(pl.col("end").max(), pl.col("offset").n_unique())
    return {shard: (end, count) for shard, end, count in grouped.sort("shard").iter_rows()}


def _list_stored(index: pl.DataFrame) -> dict[bytes, Stored]:
    kept = index.filter(pl.col("shard").is_not_null())
    rows = zip(kept["sha256"], kept["shard"], kept["offset"], kept["bytes"], strict=True)
    return {bytes.fromhex(digest): Stored(shard, offset, length) for digest, shard, offset, length in rows}


def _apply(overruled: dict[str, tuple[str, str]], index: pl.DataFrame) -> pl.DataFrame:
    if not overruled:
        return index
    listed = [(digest, status, reason) for digest, (status, reason) in overruled.items()]
    changes = pl.DataFrame(listed, schema=["sha256", "new_status", "new_reason"], orient="row")
    usable = pl.col("status") == IMAGE_OK
    return (
        index.join(changes, on="sha256", how="left")
        .with_columns(
            status=pl.when(usable).then(pl.coalesce("new_status", "status")).otherwise("status"),
            reason=pl.when(usable).then(pl.coalesce("new_reason", "reason")).otherwise("reason"),
        )
        .select(list(INDEX))
    )


def _take_ownership(path: Path) -> None:
    """Replace a link into DVC's cache, or a file it write-protected, by a copy that may be appended to."""
    if not path.exists():
        return
    status = path.lstat()
    if path.is_symlink() or status.st_nlink > 1 or not status.st_mode & 0o200:
        with path.open("rb") as source, atomic.write_file(path) as copy:
            shutil.copyfileobj(source, copy)


def _name(number: int) -> str:
    return f"{number:05d}.tar"


def _pad(size: int) -> int:
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK
