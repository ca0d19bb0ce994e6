"""Reading files of lines in blocks of whole lines: fast where all is well, bounded where a file is hostile.

No line is ever held that is longer than :data:`MAX_LINE_BYTES`, and a gzip file that expands far more than text does
is refused while it is read, so the memory taken does not depend on what a file claims to be.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from isal import isal_zlib

from illmrec.errors import DataError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line means that the file is not one record a line; it is refused before it fills the memory."""

BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes gathered before a block is cut, unless a reader asks for more."""

MAX_EXPANSION = 100
"""A gzip file of text shrinks to a third or a tenth; the format allows a thousandth."""

FREE_BYTES = 32 * 1024 * 1024
"""Uncompressed bytes before the expansion is looked at."""

_PIECE = 4 * 1024 * 1024
_COMPRESSED_PIECE = 256 * 1024
_GZIP = 31
_GZIP_MARK = b"\x1f\x8b"
"""What every gzip member begins with (RFC 1952)."""
_END, _QUOTE = b"\n", b'"'


@dataclass(frozen=True)
class Block:
    """Whole lines of a file.

    Attributes:
        content: their bytes, line ends included; only a file's last line may lack one.
        line: 1-based number of the first of them.
        lines: how many line ends there are.
    """

    content: bytes
    line: int
    lines: int


def iterate_blocks(path: Path, *, quoted: bool = False, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield a file, plain or gzip (by its ending ``.gz``), in blocks of whole lines.

    Args:
        path: the file.
        quoted: line ends between double quotes do not end a record (CSV).
        size: bytes gathered before a block is cut.

    Raises:
        DataError: when the file is empty, truncated or damaged, has a line that is too long or a quote that never
            closes, or expands beyond reason; names the last good line.
    """
    pending, line = b"", 1
    pieces = _iterate_pieces(path)
    ended = False
    while not ended:
        gathered, held = [pending], len(pending)
        wanted = max(size, held + 1)
        while held < wanted and not ended:
            try:
                piece = next(pieces, b"")
            except (OSError, EOFError, isal_zlib.error) as error:  # type: ignore[misc]  # its stub calls the class a value
                raise _explain_damage(path, error, line - 1 + sum(part.count(_END) for part in gathered)) from None
            ended = not piece
            gathered.append(piece)
            held += len(piece)
        content, pending = _cut(gathered, quoted, ended)
        if content.find(_END) > MAX_LINE_BYTES:
            raise _explain_endless(path, content[: content.find(_END)], line)
        if content:
            lines = _count_lines(content)
            yield Block(content, line, lines)
            line += lines
        if len(pending) > MAX_LINE_BYTES or (ended and pending):
            raise _explain_endless(path, pending, line)


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, gzip (by its ending ``.gz``) or plain."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _iterate_pieces(path: Path) -> Iterator[bytes]:
    """Yield a file's uncompressed bytes; check that there are some, and that they are not too many for its size."""
    empty = True
    with path.open("rb") as source:
        for piece in _expand(path, source) if path.suffix == ".gz" else iter(lambda: source.read(_PIECE), b""):
            empty = False
            yield piece
    if empty:
        raise DataError("is empty.", path=path, hint="Put the publisher's whole file there.")


def _expand(path: Path, source: IO[bytes]) -> Iterator[bytes]:
    """Yield the uncompressed bytes of a gzip file of one or more members, at most ``_PIECE`` at a time."""
    taken = given = 0
    member = None
    while compressed := source.read(_COMPRESSED_PIECE):
        taken += len(compressed)
        while compressed:
            if member is None:
                _check_mark(path, compressed, first=given == 0)
                member = isal_zlib.decompressobj(wbits=_GZIP)
            piece = member.decompress(compressed, _PIECE)
            given += len(piece)
            if given > max(FREE_BYTES, MAX_EXPANSION * taken):
                raise DataError(
                    f"expands to more than {MAX_EXPANSION} times its size, which text does not.",
                    path=path,
                    hint="This is no file of this publisher; fetch it again.",
                )
            if piece:
                yield piece
            compressed = member.unconsumed_tail
            if member.eof:
                compressed, member = member.unused_data.lstrip(b"\x00"), None  # zeros may pad the end
    if member:
        raise EOFError("the file ends before its end mark")


def _check_mark(path: Path, compressed: bytes, *, first: bool) -> None:
    """Say in plain words that there is no gzip member, as the library does not."""
    if _GZIP_MARK.startswith(compressed[: len(_GZIP_MARK)]):
        return
    if first:
        hint = "Take the ending off if the file is not compressed; otherwise fetch it again."
        raise DataError("is not gzip, though its name ends in .gz.", path=path, hint=hint)
    raise OSError("what follows is not gzip")


def _count_lines(content: bytes) -> int:
    """Return how many line ends there are; ``bytes.count`` looks at one byte at a time."""
    return int(np.count_nonzero(np.frombuffer(content, dtype=np.uint8) == _END[0]))


def _cut(pieces: list[bytes], quoted: bool, ended: bool) -> tuple[bytes, bytes]:
    """Join pieces, of which the last alone need hold a line end, into whole lines and what is left.

    At the end of the file everything counts as whole, unless a quote is open.
    """
    last = pieces[-1]
    whole = len(last) if ended else last.rfind(_END) + 1
    if not whole and not ended:
        pieces = [b"".join(pieces)]
        last = pieces[-1]
        whole = last.rfind(_END) + 1
    content = b"".join([*pieces[:-1], memoryview(last)[:whole]])  # joined once: blocks are large
    pending = last[whole:]
    odd = content.count(_QUOTE) % 2 if quoted and _QUOTE in content else 0
    cut = len(content)
    while odd and cut:
        # An odd number of quotes: the last one opens a field that goes on beyond the cut.
        opening = content.rfind(_QUOTE, 0, cut)
        earlier = content.rfind(_END, 0, opening) + 1
        odd = (odd + content.count(_QUOTE, earlier, cut)) % 2
        cut = earlier
    return (content, pending) if cut == len(content) else (content[:cut], content[cut:] + pending)


def _explain_damage(path: Path, error: Exception, line: int) -> DataError:
    hint = "The file is damaged or incomplete; fetch it again."
    return DataError(f"cannot be read past line {line}: {error}.", path=path, row=line or None, hint=hint)


def _explain_endless(path: Path, pending: bytes, line: int) -> DataError:
    if pending.count(_QUOTE) % 2:
        message = f"line {line} opens a quote that is never closed."
        return DataError(message, path=path, row=line, hint="Close the quote, or remove the line.")
    message = f"line {line} is longer than {MAX_LINE_BYTES:,} bytes; expected one record a line."
    return DataError(message, path=path, row=line, hint="Fetch the file again, or remove the line.")
