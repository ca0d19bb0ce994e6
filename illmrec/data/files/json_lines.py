"""One JSON object a line: decoded a block at a time into the few fields wanted.

A block with a line that does not fit is decoded again line by line, so a malformed line costs time but never its
neighbours; what becomes of a line does not depend on its block.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from illmrec.data.files.blocks import Block
from illmrec.data.files.coded import MAX_REJECTED

Record = TypeVar("Record")

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RejectedError(Exception):
    """A line that is set aside; the message is the reason."""


def decode_block(
    block: Block, decoder: msgspec.json.Decoder[Record], parse: Callable[[bytes], Record]
) -> tuple[range | list[int], list[Record], list[tuple[int, str]], int]:
    """Decode each line of a block.

    Args:
        block: whole lines.
        decoder: reads a line into the fields wanted, and refuses what is malformed.
        parse: reads a line that ``decoder`` refuses, more slowly and less strictly; raises :class:`RejectedError`.

    Returns:
        Line numbers of the records, the records, (line number, reason) of rejected lines, and the last line's number.
    """
    content = block.content
    count = block.lines + (not content.endswith(b"\n"))
    after = block.line + count
    try:
        records = decoder.decode_lines(content)
    except _UNREADABLE:
        records = []
    if len(records) == count:  # blank lines are skipped there and rejected here
        return range(block.line, after), records, [], after - 1
    numbers: list[int] = []
    records, rejected = [], []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), block.line):
        try:
            records.append(_decode_line(line, decoder, parse))
            numbers.append(number)
        except RejectedError as reason:
            rejected.append((number, str(reason)))
            if len(rejected) > MAX_REJECTED:
                break  # enough to refuse the file
    return numbers, records, rejected, after - 1


def _decode_line(line: bytes, decoder: msgspec.json.Decoder[Record], parse: Callable[[bytes], Record]) -> Record:
    if not line:
        raise RejectedError("not JSON")
    try:
        return decoder.decode(line)
    except _UNREADABLE:
        return parse(line)


def parse_object(content: bytes) -> dict[str, Any]:
    """Return the object of a line as the standard library reads it, NaN and byte order marks included.

    Raises:
        RejectedError: when the line is not one JSON object.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise RejectedError("not JSON") from None
    if not isinstance(value, dict):
        raise RejectedError("not a JSON object")
    return value
