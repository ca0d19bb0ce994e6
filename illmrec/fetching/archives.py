"""Unpacking archives of strangers: every member is judged before a byte of it is written.

Only plain files and folders are unpacked, with names that mean the same everywhere, below a folder that appears whole
or not at all. Archives inside an archive stay files. What is unpacked is bounded in number, size, ratio and depth while
it streams, whatever the archive says about itself.
"""

from __future__ import annotations

import gzip
import io
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from illmrec import atomic
from illmrec.errors import DataError
from illmrec.progress import track_bytes

PIECE = 1024 * 1024
SLACK = 16 * 1024 * 1024
"""Bytes that any archive may unpack to, whatever its ratio."""

MAX_EXTENSION = 64 * 1024
"""Bytes of a tar header that extends another, such as a long name."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\:]")
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL_HEADER = 30
_DIRECTORY_ENTRY, _DIRECTORY_END = b"PK\x01\x02", b"PK\x05\x06"
_ENTRY_SIZE, _END_SIZE, _WIDE_END_SIZE = 46, 22, 20 + 56
_LONGEST_COMMENT = 65_535
_HINT = "Nothing was unpacked. Get the archive from its publisher again, and compare its digest."


@dataclass(frozen=True)
class ArchiveLimits:
    """Bounds of one archive.

    Attributes:
        max_members: files and folders.
        max_bytes: of all files together.
        max_ratio: unpacked size to archive size, of the whole and of each zip member.
        max_depth: folders inside each other.
        max_name: bytes of a member's whole name.
    """

    max_members: int = 1_000_000
    max_bytes: int = 200 * 1024**3
    max_ratio: float = 200.0
    max_depth: int = 16
    max_name: int = 1024


@dataclass(frozen=True)
class Extracted:
    """What was unpacked: files and their bytes."""

    files: int
    bytes: int


def extract_archive(archive: Path, folder: Path, limits: ArchiveLimits | None = None) -> Extracted:
    """Unpack a zip or tar file, plain or gzip, into a new folder.

    Args:
        archive: the file; its content decides what it is, not its name.
        folder: appears whole at the end; it must not exist yet, or be empty.
        limits: bounds.

    Raises:
        DataError: when the archive is damaged or breaks a rule, or the folder is taken; names the member.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise DataError(
            "is not empty; nothing was unpacked.", path=folder, hint="Choose another --folder, or empty it."
        )
    judge = _Judge(archive, limits or ArchiveLimits())
    try:
        with atomic.write_folder(folder) as partial:
            if zipfile.is_zipfile(archive):
                _extract_zip(archive, partial, judge)
            else:
                _extract_tar(archive, partial, judge)
            if judge.files == 0:
                raise judge.refuse("holds no file")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError) as error:
        raise judge.refuse(f"is damaged or no zip or tar file: {error}") from None
    except (NotImplementedError, RuntimeError) as error:
        raise judge.refuse(f"cannot be read: {error}") from None
    except gzip.BadGzipFile as error:
        raise judge.refuse(f"is damaged: {error}") from None
    return Extracted(judge.files, judge.bytes)


class _Judge:
    """Remembers what was unpacked and refuses what goes too far."""

    def __init__(self, archive: Path, limits: ArchiveLimits) -> None:
        self.archive, self.limits = archive, limits
        self.size = archive.stat().st_size
        self.files = self.bytes = self._members = 0
        self._seen: dict[str, str] = {}
        self._parents: set[str] = set()

    def refuse(self, reason: str, member: str = "") -> DataError:
        """Return the error for a reason."""
        shown = f"member {member[:200]!r} " if member else ""
        return DataError(f"{shown}{reason}.", path=self.archive, hint=_HINT)

    def admit(self, name: str, *, is_folder: bool) -> Path:
        """Return where a member goes, relative to the folder.

        Raises:
            DataError: when its name leads elsewhere, clashes with another's, or there are too many.
        """
        self._members += 1
        if self._members > self.limits.max_members:
            raise self.refuse(f"holds more than {self.limits.max_members:,} members")
        parts = self._split(name)
        key = self._fold(parts)
        if key in self._seen:
            if is_folder and key in self._parents:
                return Path(*parts)
            raise self.refuse(f"has the same name as {self._seen[key][:200]!r} on some systems", name)
        self._seen[key] = name
        parents = {self._fold(parts[:depth]) for depth in range(1, len(parts))}
        taken = [parent for parent in parents if parent in self._seen and parent not in self._parents]
        if taken or (key in self._parents and not is_folder):
            raise self.refuse("is a file and a folder at once", name)
        self._parents |= parents | ({key} if is_folder else set())
        return Path(*parts)

    def count(self, size: int, name: str) -> None:
        """Add bytes just unpacked.

        Raises:
            DataError: when it is too much altogether, or for the size of the archive.
        """
        self.bytes += size
        if self.bytes > self.limits.max_bytes:
            raise self.refuse(f"unpacks to more than {self.limits.max_bytes:,} bytes", name)
        if self.bytes > SLACK + self.size * self.limits.max_ratio:
            raise self.refuse(f"unpacks to more than {self.limits.max_ratio:g} times the archive's size", name)

    def _split(self, name: str) -> tuple[str, ...]:
        if _FORBIDDEN.search(name) or not _is_encodable(name):
            raise self.refuse("has a name with a control character, a backslash or a colon", name)
        parts = tuple(name.removesuffix("/").split("/"))
        if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            raise self.refuse("has a name that leads out of the folder or is not plain", name)
        if len(parts) > self.limits.max_depth:
            raise self.refuse(f"lies more than {self.limits.max_depth} folders deep", name)
        if len(name.encode()) > self.limits.max_name or any(len(part.encode()) > 255 for part in parts):
            raise self.refuse("has too long a name", name)
        return parts

    @staticmethod
    def _fold(parts: tuple[str, ...]) -> str:
        return unicodedata.normalize("NFC", "/".join(parts)).casefold()


def _extract_zip(archive: Path, folder: Path, judge: _Judge) -> None:
    _count_zip_directory(archive, judge)
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _check_zip_layout(members, opened.start_dir, judge)
        total = sum(member.file_size for member in members)
        _check_room(folder, total, judge)
        with track_bytes(f"unpack {archive.name}", total=total) as show:
            for member in members:
                _check_zip_member(member, judge)
                place = folder / judge.admit(member.orig_filename, is_folder=member.is_dir())
                if member.is_dir():
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                with opened.open(member) as source:
                    _write_member(source, place, member.file_size, member.filename, judge, show)


def _count_zip_directory(archive: Path, judge: _Judge) -> None:
    """Refuse a directory of too many entries before the library makes an object of each, whatever count it claims.

    Stops where the directory does not look like one; the library then says what is wrong with it.
    """
    with archive.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _LONGEST_COMMENT - _END_SIZE))
        tail = file.read()
        end = tail.rfind(_DIRECTORY_END)
        if end < 0 or len(tail) - end < _END_SIZE:
            return
        place = size - len(tail) + end
        (length,) = struct.unpack_from("<I", tail, end + 12)
        if length == 0xFFFFFFFF:  # zip64: the true length stands in a record before this one
            file.seek(max(0, place - _WIDE_END_SIZE))
            (length,) = struct.unpack_from("<40xQ", file.read(_WIDE_END_SIZE).ljust(48, b"\0"))
            place -= _WIDE_END_SIZE
        file.seek(max(0, place - length))
        entries = 0
        while (entry := file.read(_ENTRY_SIZE))[:4] == _DIRECTORY_ENTRY and len(entry) == _ENTRY_SIZE:
            entries += 1
            if entries > judge.limits.max_members:
                raise judge.refuse(f"holds more than {judge.limits.max_members:,} members")
            file.seek(sum(struct.unpack_from("<HHH", entry, 28)), io.SEEK_CUR)


def _check_zip_layout(members: list[zipfile.ZipInfo], directory: int, judge: _Judge) -> None:
    """Refuse members that share bytes, by which a small archive unpacks to an endless one."""
    ordered = sorted(members, key=lambda member: member.header_offset)
    ends = [member.header_offset for member in ordered[1:]] + [directory]
    for member, end in zip(ordered, ends, strict=False):  # of no member, one end too many
        if member.header_offset + _LOCAL_HEADER + member.compress_size > end:
            raise judge.refuse("shares its bytes with another", member.filename)


def _check_zip_member(member: zipfile.ZipInfo, judge: _Judge) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise judge.refuse("is a link or a device", member.filename)
    if member.flag_bits & 0x1:
        raise judge.refuse("is encrypted", member.filename)
    if member.compress_type not in _ZIP_METHODS:
        raise judge.refuse(f"is compressed by method {member.compress_type}, expected 0 or 8", member.filename)
    if member.file_size > SLACK + member.compress_size * judge.limits.max_ratio:
        raise judge.refuse(f"unpacks to more than {judge.limits.max_ratio:g} times its size", member.filename)


def _extract_tar(archive: Path, folder: Path, judge: _Judge) -> None:
    with (
        _open_plain(archive) as plain,
        tarfile.open(fileobj=_CountingReader(plain, judge), mode="r|", tarinfo=_BoundedTarInfo) as opened,
        track_bytes(f"unpack {archive.name}", total=None) as show,
    ):
        for member in opened:
            opened.members.clear()  # type: ignore[attr-defined]  # it would keep every header
            _check_tar_member(member, judge)
            place = folder / judge.admit(member.name, is_folder=member.isdir())
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            source = opened.extractfile(member)
            if source is not None:
                _write_member(source, place, member.size, member.name, judge, show, counted=True)


def _check_tar_member(member: tarfile.TarInfo, judge: _Judge) -> None:
    if member.issparse() or not (member.isreg() or member.isdir()):
        raise judge.refuse("is a link, a device or a sparse file", member.name)
    if member.size < 0 or member.size > judge.limits.max_bytes:
        raise judge.refuse(f"claims {member.size:,} bytes", member.name)


class _BoundedTarInfo(tarfile.TarInfo):
    """A header whose extensions cannot fill the memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        extends = self.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, b"L", b"K")
        if extends and not 0 <= self.size <= MAX_EXTENSION:
            raise tarfile.ReadError(f"a header extension of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]


class _CountingReader(io.RawIOBase):
    """Plain tar bytes, counted against the limits before anything is made of them."""

    def __init__(self, source: IO[bytes], judge: _Judge) -> None:
        self._source, self._judge = source, judge

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self._judge.count(len(content), "")
        return content


def _open_plain(archive: Path) -> IO[bytes]:
    """Open a tar file, through gzip where its first bytes say so."""
    with archive.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(archive, "rb")) if packed else archive.open("rb")


def _write_member(
    source: IO[bytes], place: Path, size: int, name: str, judge: _Judge, show: Any, *, counted: bool = False
) -> None:
    """Write one file of exactly ``size`` bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with place.open("xb") as file:
        for piece in _iterate(source):
            written += len(piece)
            if written > size:
                raise judge.refuse(f"is longer than the {size:,} bytes it claims", name)
            if not counted:
                judge.count(len(piece), name)
            file.write(piece)
            show(len(piece))
    if written != size:
        raise judge.refuse(f"ends after {written:,} of {size:,} bytes", name)
    judge.files += 1


def _iterate(source: IO[bytes]) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        yield piece


def _check_room(folder: Path, total: int, judge: _Judge) -> None:
    free = shutil.disk_usage(folder).free
    if total > judge.limits.max_bytes:
        raise judge.refuse(f"unpacks to {total:,} bytes, at most {judge.limits.max_bytes:,} are allowed")
    if total > free:
        raise judge.refuse(f"unpacks to {total:,} bytes, {free:,} are free on this disk")


def _is_encodable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return bool(name)
