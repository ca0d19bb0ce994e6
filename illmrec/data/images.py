"""Catalog pictures: what is wrong with them, and how they are opened.

A picture is untrusted input. Its bytes are read once under a cap, its declared size is checked before anything is
decoded, only common formats are tried, and it counts as readable only after a full decode: headers alone do not reveal
a truncated file.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from illmrec.columns import IMAGE_OK
from illmrec.data.shards import parse_slice
from illmrec.errors import DataError
from illmrec.progress import track

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
"""The only decoders tried; Pillow's rarer ones never see catalog bytes."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Larger files are refused unread."""

MAX_SCANS = 200
"""Passes over a progressive JPEG; encoders write about ten."""

_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""A marker that begins a segment; 00 and D0 to D7 stand inside a scan's data."""

THREADS = 4
"""Pictures decoded at the same time; Pillow works outside the interpreter lock."""

BLOCK = 256
"""Pictures handed to the threads at a time, which bounds the queue of results."""


@dataclass(frozen=True)
class ImageProbe:
    """What one picture file turned out to be.

    Attributes:
        status: ``ok``, ``missing``, ``undecodable``, ``too_large`` or ``unsafe_path``.
        sha256: hexadecimal digest of the file's bytes; empty when they were not read.
        width: pixels as stored, before any EXIF rotation; 0 when unknown.
        height: pixels as stored, before any EXIF rotation; 0 when unknown.
        bytes: size of the file; 0 when unknown.
        reason: why the picture cannot be used; empty for ``ok``.
    """

    status: str
    sha256: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    reason: str = ""


class _RefusedError(Exception):
    """A picture that cannot be used, with the facts known so far."""

    def __init__(self, probe: ImageProbe) -> None:
        super().__init__(probe.reason)
        self.probe = probe


def probe_image(path: Path, max_pixels: int, *, root: Path | None = None) -> ImageProbe:
    """Decode a picture in full and say what it is. Never raises for bad input.

    Args:
        path: the picture file, or a slice of one (``.../00000.tar@512+1200``, see :mod:`illmrec.data.shards`).
        max_pixels: pictures whose header declares more pixels are refused before decoding.
        root: folder that the file, symbolic links resolved, must lie in; no such check when None.
    """
    try:
        _, probe = _decode(path, max_pixels, root)
    except _RefusedError as refused:
        return refused.probe
    return probe


def probe_bytes(content: bytes, max_pixels: int) -> ImageProbe:
    """Decode a picture that is in memory in full and say what it is. Never raises for bad input."""
    try:
        _, probe = _decode_bytes(content, max_pixels)
    except _RefusedError as refused:
        return refused.probe
    return probe


def probe_images(root: Path, references: Sequence[str], max_pixels: int) -> Iterator[ImageProbe]:
    """Yield the probe of each picture in ``references``, in order, decoding several at the same time.

    Args:
        root: the raw folder; a reference that leads out of it is ``unsafe_path``.
        references: paths relative to ``root``.
        max_pixels: as for :func:`probe_image`.
    """

    def probe(reference: str) -> ImageProbe:
        return probe_image(root / reference, max_pixels, root=root)

    def probe_all() -> Iterator[ImageProbe]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="probe") as pool:
            for start in range(0, len(references), BLOCK):
                yield from pool.map(probe, references[start : start + BLOCK])

    yield from track(probe_all(), "pictures", total=len(references), unit="picture")


def open_rgb(path: Path, max_pixels: int) -> Image.Image:
    """Decode a picture, or the slice of a shard that is one, for an encoder.

    Returns:
        8-bit RGB, turned as its EXIF orientation says, transparent parts over white; of an animation the first frame.

    Raises:
        DataError: when the file is missing, cannot be decoded in full or is too large.
    """
    image, probe = read_rgb(path, max_pixels)
    if image is None:
        hint = "Replace the file, then `illmrec prepare`."
        raise DataError(f"the picture is {probe.status}: {probe.reason}.", path=path, hint=hint)
    return image


def read_rgb(path: Path, max_pixels: int) -> tuple[Image.Image | None, ImageProbe]:
    """Decode a picture as :func:`open_rgb` does and say what it is. Never raises for bad input.

    Returns:
        The picture, or None where the probe's status is not ``ok``; and its probe.
    """
    try:
        image, probe = _decode(path, max_pixels, None)
    except _RefusedError as refused:
        return None, refused.probe
    try:
        return _to_rgb(image), probe
    except Exception as error:  # noqa: BLE001 - hostile metadata can raise anything while a picture is converted
        return None, replace(probe, status="undecodable", reason=_describe(error))


def _decode(path: Path, max_pixels: int, root: Path | None) -> tuple[Image.Image, ImageProbe]:
    return _decode_bytes(_read(path, root), max_pixels)


def _decode_bytes(content: bytes, max_pixels: int) -> tuple[Image.Image, ImageProbe]:
    digest, size = hashlib.sha256(content).hexdigest(), len(content)
    width = height = 0
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height = image.size
        if width * height > max_pixels:
            reason = f"{width} x {height} pixels, at most {max_pixels:,} are allowed"
            raise _RefusedError(ImageProbe("too_large", digest, width, height, size, reason))
        if image.format == "JPEG" and (scans := _count_scans(content)) > MAX_SCANS:
            reason = f"{scans:,} scans, at most {MAX_SCANS:,} are allowed"
            raise _RefusedError(ImageProbe("undecodable", digest, width, height, size, reason))
        image.load()
    except _RefusedError:
        raise
    except Image.DecompressionBombError as error:
        raise _RefusedError(ImageProbe("too_large", digest, 0, 0, size, str(error))) from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error ...
        raise _RefusedError(ImageProbe("undecodable", digest, width, height, size, _describe(error))) from None
    return image, ImageProbe(IMAGE_OK, digest, width, height, size)


def _read(path: Path, root: Path | None) -> bytes:
    """Return the bytes of a picture file, or of the slice of a shard that ``path`` names."""
    if ".." in path.parts:
        raise _RefusedError(ImageProbe("unsafe_path", reason="the path holds '..'"))
    piece = parse_slice(path)
    file_path = piece.path if piece else path
    try:
        if root is not None and not file_path.resolve().is_relative_to(root.resolve()):
            raise _RefusedError(ImageProbe("unsafe_path", reason="the path leads out of the raw folder"))
        status = file_path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _RefusedError(ImageProbe("undecodable", reason="not a regular file"))
        offset, size = (piece.offset, piece.length) if piece else (0, status.st_size)
        if size > MAX_FILE_BYTES:
            reason = f"{size:,} bytes, at most {MAX_FILE_BYTES:,} are allowed"
            raise _RefusedError(ImageProbe("too_large", bytes=size, reason=reason))
        if offset + size > status.st_size:
            reason = f"bytes {offset:,} to {offset + size:,} of a file of {status.st_size:,} bytes"
            raise _RefusedError(ImageProbe("undecodable", reason=reason))
        with file_path.open("rb") as file:
            file.seek(offset)
            return file.read(size)  # asked for more, Python takes the memory for more
    except FileNotFoundError:
        raise _RefusedError(ImageProbe("missing", reason="no such file")) from None
    except (OSError, ValueError, RuntimeError) as error:  # no permission, NUL in the name, a loop of links
        raise _RefusedError(ImageProbe("undecodable", reason=_describe(error))) from None


def _count_scans(content: bytes) -> int:
    """Return how many passes over the picture a JPEG asks for; each costs a few bytes to ask and full time to do."""
    if content.count(b"\xff\xda") <= MAX_SCANS:
        return 0  # nearly every file: no need to tell scans from other bytes of the same value
    scans, place = 0, 2
    while (marker := _JPEG_MARKER.search(content, place)) is not None and marker[0] != b"\xff\xd9":
        scans += marker[0] == b"\xff\xda"
        place = marker.end() + max(2, int.from_bytes(content[marker.end() : marker.end() + 2]))
    return scans


def _to_rgb(image: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16-bit grey: a plain conversion would clip everything above 255
        values = np.asarray(image, dtype=np.int64).clip(0, 65_535)
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image.convert("RGB")


def _describe(error: Exception) -> str:
    """Return one line about an error without the memory addresses and temporary names that differ between runs."""
    if isinstance(error, UnidentifiedImageError):
        return f"not one of {', '.join(FORMATS)}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}"
