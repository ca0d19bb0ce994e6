"""Which pictures a catalog offers: (item, position, address), streamed from the catalog's own files."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from illmrec.errors import DataError

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is no item; reading ends there."""

URL_FILES = ("image_urls.csv", "image_urls.csv.gz")
FIELDS = ("item_id", "url")


class WantedPicture(NamedTuple):
    """A picture to fetch; ``position`` counts an item's pictures from 0."""

    item_id: str
    position: int
    url: str


def list_wanted(folder: Path, layout: str, *, per_item: int = 1) -> Iterator[WantedPicture]:
    """Yield the pictures that the catalog in a raw folder offers.

    Args:
        folder: the raw folder.
        layout: its format. ``amazon`` reads the metadata's imageURLHighRes, or imageURL where that is empty; any layout
            may have a table image_urls.csv (or .csv.gz) with item_id and url, which goes first.
        per_item: addresses taken per item, in the publisher's order.

    Raises:
        DataError: when the folder holds no such file, or it is damaged.
    """
    table = next((folder / name for name in URL_FILES if (folder / name).is_file()), None)
    if table is not None:
        return _limit(_read_table(table), per_item)
    metadata = sorted(folder.glob("meta_*.json.gz")) if layout == "amazon" else []
    if len(metadata) == 1:
        return _limit(_read_amazon(metadata[0]), per_item)
    expected = f"one meta_*.json.gz or {URL_FILES[0]}" if layout == "amazon" else URL_FILES[0]
    raise DataError(
        f"says nowhere where pictures are: expected {expected}, found {len(metadata)} metadata files.",
        path=folder,
        hint=f"Write {URL_FILES[0]} with the columns item_id and url there.",
    )


def _limit(offered: Iterator[tuple[str, str]], per_item: int) -> Iterator[WantedPicture]:
    """Number each item's addresses, leave out repeats, and stop at ``per_item``."""
    taken: dict[str, tuple[str, ...]] = {}
    for item, url in offered:
        before = taken.get(item, ())
        if url not in before and len(before) < per_item:
            taken[item] = (*before, url)
            yield WantedPicture(item, len(before), url)


def _read_amazon(path: Path) -> Iterator[tuple[str, str]]:
    line = 0
    try:
        with gzip.open(path, "rb") as file:
            while content := file.readline(MAX_LINE_BYTES):
                line += 1
                if len(content) == MAX_LINE_BYTES:
                    message = f"line {line} is longer than {MAX_LINE_BYTES:,} bytes; expected one object a line."
                    raise DataError(message, path=path, row=line)
                yield from _parse_item(content)
    except (OSError, EOFError) as error:
        hint = "The file is damaged or incomplete; remove it and fetch it again."
        raise DataError(f"cannot be read past line {line}: {error}.", path=path, row=line, hint=hint) from None


def _parse_item(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (item, address) of one metadata line; nothing where it is malformed, which ``prepare`` reports."""
    try:
        record: Any = json.loads(content)
    except (ValueError, RecursionError):
        return
    item = record.get("asin") if isinstance(record, dict) else None
    if not isinstance(item, str) or not item.strip() or not _is_encodable(item):
        return
    for name in ("imageURLHighRes", "imageURL"):
        offered = record.get(name)
        listed = offered if isinstance(offered, list) else [offered]
        urls = [url for url in listed if isinstance(url, str)]
        if urls:
            yield from ((item, url) for url in urls if _is_encodable(url))
            return


def _read_table(path: Path) -> Iterator[tuple[str, str]]:
    line = 0
    try:
        with _open_text(path) as file:
            reader = csv.DictReader(file)
            if missing := [name for name in FIELDS if name not in (reader.fieldnames or ())]:
                found = ", ".join(reader.fieldnames or ()) or "nothing"
                raise DataError(f"lacks the column {missing[0]!r}; its header holds {found}.", path=path, row=1)
            for record in reader:
                line = reader.line_num
                item, url = record["item_id"], record["url"]
                if item and item.strip() and url and url.strip():
                    yield item, url
    except UnicodeDecodeError:
        raise DataError(f"is not UTF-8 after line {line}.", path=path, row=line + 1) from None
    except (OSError, EOFError, csv.Error) as error:
        raise DataError(f"cannot be read past line {line}: {error}.", path=path, row=line) from None


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast("IO[str]", gzip.open(path, "rt", encoding="utf-8-sig", newline=""))
    return path.open(encoding="utf-8-sig", newline="")


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
