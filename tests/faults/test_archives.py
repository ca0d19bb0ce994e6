"""Archives that must not be unpacked, and what is left when they are not: nothing."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from illmrec.errors import DataError
from illmrec.fetching.archives import ArchiveLimits, extract_archive

SMALL = ArchiveLimits(max_members=50, max_bytes=64 * 1024**2, max_ratio=100)


def make_zip(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            entry = zipfile.ZipInfo("placeholder")
            entry.filename = name  # the constructor would repair some of the names
            entry.compress_type = method
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def make_special_zip(mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("special")
        entry.external_attr = (mode | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


def make_tar(
    *members: tuple[str, bytes | None], kind: bytes = tarfile.REGTYPE, link: str = "", mode: str = "w"
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.type = kind if content is not None else tarfile.DIRTYPE
            entry.linkname = link
            entry.size = len(content or b"") if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(content or b""))
    return buffer.getvalue()


def encrypt(archive: bytes) -> bytes:
    """Set the flag of encryption in both headers of a one-member zip."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def claim_less(archive: bytes) -> bytes:
    """Let a member claim 10 bytes in both headers of a one-member zip."""
    changed = bytearray(archive)
    changed[22:26] = struct.pack("<I", 10)
    place = archive.index(b"PK\x01\x02") + 24
    changed[place : place + 4] = struct.pack("<I", 10)
    return bytes(changed)


def overlap() -> bytes:
    """A zip whose two entries in the directory point at the same bytes."""
    content = zlib.compress(bytes(1000), 9)[2:-4]
    crc = zlib.crc32(bytes(1000))

    def fields(name: bytes) -> bytes:
        return struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, crc, len(content), 1000, len(name), 0)

    local = b"PK\x03\x04" + fields(b"a") + b"a" + content
    entries = b"".join(
        b"PK\x01\x02" + struct.pack("<H", 20) + fields(name) + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
        for name in (b"a", b"b")
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 2, 2, len(entries), len(local), 0)
    return local + entries + end


def crowd(entries: int, claimed: int, *, wide: bool = False) -> bytes:
    """A zip whose directory has more entries than it claims; ``wide``: its length stands in the zip64 record."""
    directory = (b"PK\x01\x02" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a") * entries
    length = 0xFFFFFFFF if wide else len(directory)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, claimed, claimed, length, 0, 0)
    if wide:
        record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, claimed, claimed, len(directory), 0)
        directory += record + b"PK\x06\x07" + struct.pack("<IQI", 0, len(directory), 1)
    return directory + end


def huge_extension() -> bytes:
    """A tar.gz whose header of extended attributes is 32 MB long."""
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 32_000_000
    return gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(32_000_000), 1)


def negative_size() -> bytes:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def sparse() -> bytes:
    entry = tarfile.TarInfo("hole")
    entry.type = tarfile.GNUTYPE_SPARSE
    return entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zip dot dot": lambda: make_zip(("../evil", b"x")),
    "zip dot dot inside": lambda: make_zip(("a/../../evil", b"x")),
    "zip absolute": lambda: make_zip(("/tmp/evil", b"x")),
    "zip backslashes": lambda: make_zip(("..\\..\\evil", b"x")),
    "zip drive": lambda: make_zip(("C:/evil", b"x")),
    "zip NUL in the name": lambda: make_zip(("good.txt\x00../../evil", b"x")),
    "zip newline in the name": lambda: make_zip(("a\nb", b"x")),
    "zip empty part": lambda: make_zip(("a//b", b"x")),
    "zip link": lambda: make_special_zip(stat.S_IFLNK),
    "zip device": lambda: make_special_zip(stat.S_IFCHR),
    "zip twice the same name": lambda: make_zip(("a", b"x"), ("a", b"y")),
    "zip names differing in case": lambda: make_zip(("Readme", b"x"), ("README", b"y")),
    "zip names differing in composition": lambda: make_zip(("caf\u00e9", b"x"), ("cafe\u0301", b"y")),
    "zip file and folder": lambda: make_zip(("a", b"x"), ("a/b", b"y")),
    "zip folder and file": lambda: make_zip(("a/b", b"x"), ("A", b"y")),
    "zip too many members": lambda: make_zip(*((f"f{n}", b"") for n in range(51))),
    "zip more members than it says": lambda: crowd(60, 1),
    "zip64 more members than it says": lambda: crowd(60, 1, wide=True),
    "zip bomb by ratio": lambda: make_zip(("bomb", bytes(40_000_000))),
    "zip bomb by size": lambda: make_zip(("bomb", bytes(65 * 1024**2)), method=zipfile.ZIP_STORED),
    "zip bomb by overlap": overlap,
    "zip longer than it claims": lambda: claim_less(make_zip(("a", b"0123456789" * 5))),
    "zip encrypted": lambda: encrypt(make_zip(("a", b"secret"))),
    "zip lzma": lambda: make_zip(("a", b"x" * 100), method=zipfile.ZIP_LZMA),
    "zip truncated": lambda: make_zip(("a", os.urandom(5000)))[:3000],
    "zip wrong checksum": lambda: make_zip(("a", b"hello world"), method=zipfile.ZIP_STORED).replace(
        b"world", b"worle"
    ),
    "zip too deep": lambda: make_zip(("/".join("a" * 17) + "/b", b"x")),
    "zip name too long": lambda: make_zip(("n" * 300, b"x")),
    "zip of nothing": make_zip,
    "tar dot dot": lambda: make_tar(("../evil", b"x")),
    "tar absolute": lambda: make_tar(("/tmp/evil", b"x")),
    "tar symbolic link": lambda: make_tar(("link", b""), kind=tarfile.SYMTYPE, link="/etc"),
    "tar hard link": lambda: make_tar(("link", b""), kind=tarfile.LNKTYPE, link="../../etc/passwd"),
    "tar device": lambda: make_tar(("dev", b""), kind=tarfile.CHRTYPE),
    "tar pipe": lambda: make_tar(("pipe", b""), kind=tarfile.FIFOTYPE),
    "tar sparse": sparse,
    "tar twice the same name": lambda: make_tar(("a", b"x"), ("./a".removeprefix("./"), b"y")),
    "tar names differing in case": lambda: make_tar(("a/B", b"x"), ("A/b", b"y")),
    "tar file and folder": lambda: make_tar(("a", b"x"), ("a/b", b"y")),
    "tar too many members": lambda: make_tar(*((f"f{n}", b"") for n in range(51))),
    "tar.gz bomb": lambda: make_tar(("bomb", bytes(40_000_000)), mode="w:gz"),
    "tar.gz header bomb": huge_extension,
    "tar negative size": negative_size,
    "tar.gz truncated": lambda: make_tar(("a", os.urandom(50_000)), mode="w:gz")[:30_000],
    "tar truncated": lambda: make_tar(("a", os.urandom(50_000)))[:30_000],
    "neither": lambda: b"<html>not found</html>",
    "nothing": lambda: b"",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(HOSTILE[name]())
    with pytest.raises(DataError) as error:
        extract_archive(archive, tmp_path / "inner" / "folder", SMALL)
    assert str(archive) in str(error.value)
    assert error.value.hint
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "inner"]


def test_a_long_header_is_refused_before_it_is_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(huge_extension())
    with pytest.raises(DataError, match="header extension of 32,000,000 bytes"):
        extract_archive(tmp_path / "a.tar.gz", tmp_path / "folder")


GOOD = (("a.csv", b"x" * 100), ("images/010/0108775015.jpg", b"jpeg"), ("images/011/caf\u00e9.jpg", b""))


@pytest.mark.parametrize(
    "content", [make_zip(*GOOD), make_tar(*GOOD), make_tar(*GOOD, mode="w:gz")], ids=["zip", "tar", "tar.gz"]
)
def test_good_archives_are_unpacked_as_they_are(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    done = extract_archive(tmp_path / "archive", tmp_path / "folder", SMALL)
    found = {p.relative_to(tmp_path / "folder").as_posix(): p.read_bytes() for p in (tmp_path / "folder").rglob("*.*")}
    assert found == dict(GOOD)
    assert done.files == 3


def test_folders_may_be_named_before_and_after_their_files(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_tar(("a", None), ("a/b", b"x"), ("c/d", b"y"), ("c", None)))
    assert extract_archive(tmp_path / "a.tar", tmp_path / "folder", SMALL).files == 2


def test_an_archive_inside_an_archive_stays_a_file(tmp_path: Path) -> None:
    inner = make_zip(("../evil", b"x"))
    (tmp_path / "a.zip").write_bytes(make_zip(("inner.zip", inner)))
    extract_archive(tmp_path / "a.zip", tmp_path / "folder", SMALL)
    assert (tmp_path / "folder" / "inner.zip").read_bytes() == inner


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip(*GOOD))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(DataError, match="not empty"):
        extract_archive(tmp_path / "a.zip", tmp_path / "folder")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="not empty"):
        extract_archive(tmp_path / "a.zip", tmp_path / "link")


def test_modes_in_the_archive_have_no_effect(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("run")
    entry.mode, entry.size = 0o6777, 1
    (tmp_path / "a.tar").write_bytes(entry.tobuf() + b"x" + bytes(511 + 1024))
    extract_archive(tmp_path / "a.tar", tmp_path / "folder")
    assert stat.S_IMODE((tmp_path / "folder" / "run").stat().st_mode) & 0o7111 == 0


def test_a_disk_that_is_too_small_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(make_zip(*GOOD))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(DataError, match="10 are free"):
        extract_archive(tmp_path / "a.zip", tmp_path / "folder")


@pytest.mark.parametrize("wide", [False, True])
def test_a_crowded_directory_is_refused_before_an_object_is_made_of_each_entry(
    wide: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    class Counted(zipfile.ZipInfo):
        def __init__(self, *arguments: object, **options: object) -> None:
            made.append("entry")
            super().__init__(*arguments, **options)

    archive = tmp_path / "crowd.zip"
    archive.write_bytes(crowd(60, 1, wide=wide))
    monkeypatch.setattr(zipfile, "ZipInfo", Counted)
    with pytest.raises(DataError, match="more than 50 members"):
        extract_archive(archive, tmp_path / "out", SMALL)
    assert made == []
