"""Amazon Reviews 2018 as published: one JSON object a line, gzip.

Layout of the folder::

    <Category>_5.json.gz      reviews (reviewerID, asin, unixReviewTime, ...); another single *.json.gz is taken too
    meta_<Category>.json.gz   items (asin, title, brand, category: list, description: list, ...)
    images/<asin>.jpg         or .jpeg .png .webp .gif .bmp; fetched from the metadata's imageURL by its user

The metadata file may be missing: items then go without texts, unless that is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from illmrec.columns import USER_ID
from illmrec.data.files.ahead import read_ahead
from illmrec.data.files.blocks import MAX_LINE_BYTES, Block, iterate_blocks
from illmrec.data.files.coded import FEW_ROWS, LATEST_TIMESTAMP, CodedInteractions, InteractionCoder, refuse_flood
from illmrec.data.files.json_lines import RejectedError, decode_block, parse_object
from illmrec.data.files.picture_files import list_pictures, pictures_table
from illmrec.data.raw import (
    RAW_ITEMS,
    MissingItems,
    RawCatalog,
    ReadOptions,
    find_one,
    items_table,
    rejected_table,
    report_missing_items,
)
from illmrec.errors import DataError
from illmrec.progress import track

__all__ = ["MAX_LINE_BYTES", "read_amazon"]

CHUNK_ROWS = 100_000
"""Items gathered as Python objects before they become a table."""

_NOTHING = msgspec.Raw(b"null")


class _Review(msgspec.Struct, gc=False):
    reviewerID: str  # noqa: N815 (the publisher's name)
    asin: str
    unixReviewTime: int  # noqa: N815


class _Item(msgspec.Struct, gc=False):
    asin: str
    title: msgspec.Raw = _NOTHING
    brand: msgspec.Raw = _NOTHING
    category: msgspec.Raw = _NOTHING
    description: msgspec.Raw = _NOTHING


def read(folder: Path, options: ReadOptions) -> RawCatalog:
    """Read the folder as :func:`illmrec.data.readers.read_raw` asks for it; see :func:`read_amazon`."""
    return read_amazon(folder, missing_items=options.missing_items)


def read_amazon(folder: Path, *, missing_items: MissingItems = "warn") -> RawCatalog:
    """Read one category of Amazon Reviews 2018; see the module for the layout.

    Args:
        folder: the raw folder.
        missing_items: whether to go on without the metadata file.

    Raises:
        DataError: when the reviews are missing, or a file is damaged; names the file and its last good line.
    """
    reviews = _find_reviews(folder)
    warnings: tuple[str, ...] = ()
    metadata, looked_for = _find_metadata(folder, reviews)
    if metadata is None:
        warnings = report_missing_items(folder / looked_for, missing_items, "title, brand, category and description")
    interactions, rejected, rows = _read_reviews(reviews)
    items, items_rejected, item_rows = pl.DataFrame(schema=RAW_ITEMS), rejected_table(), 0
    if metadata:
        items, items_rejected, item_rows = _read_items(metadata, set(interactions.item_ids))
    pictures = [(item, 0, f"images/{name}") for item, name in list_pictures(folder / "images").items()]
    return RawCatalog(
        interactions=interactions,
        items=items,
        extra_users=pl.Series(USER_ID, [], pl.String),
        pictures=pictures_table(pictures),
        rejected=pl.concat([rejected, items_rejected]),
        rows={reviews.name: rows} | ({metadata.name: item_rows} if metadata else {}),
        counts={
            "raw_interaction_rows": rows,
            "raw_item_rows": item_rows,
            "item_rows_without_interaction": item_rows - items.height - items_rejected.height,
        },
        warnings=warnings,
    )


def _find_reviews(folder: Path) -> Path:
    return find_one(folder, ["*_5.json.gz", "*.json.gz"], "file of reviews", other_than="meta_*")


def _find_metadata(folder: Path, reviews: Path) -> tuple[Path | None, str]:
    """Return the metadata file, if there is one, and the name looked for first."""
    category = reviews.name.removesuffix(".json.gz").removesuffix("_5")
    named = f"meta_{category}.json.gz"
    others = sorted(folder.glob("meta_*.json.gz"))
    if (folder / named).is_file():
        return folder / named, named
    if len(others) > 1:
        names = ", ".join(path.name for path in others)
        raise DataError(f"holds several metadata files, none of them {named}: {names}.", path=folder)
    return (others[0] if others else None), named


def _read_reviews(path: Path) -> tuple[CodedInteractions, pl.DataFrame, int]:
    gathering = InteractionCoder(path.name, user="reviewerID", item="asin", time="unixReviewTime")
    waiting: list[_Review] = []
    lines: list[int] = []
    last = 0

    def add() -> None:
        users = pl.Series([review.reviewerID for review in waiting], dtype=pl.String)
        items = pl.Series([review.asin for review in waiting], dtype=pl.String)
        times = pl.Series([review.unixReviewTime for review in waiting], dtype=pl.Int64)
        gathering.add(users, items, times, rows=np.array(lines, dtype=np.int64))
        waiting.clear()
        lines.clear()

    for block in _track_blocks(path):
        numbers, reviews, rejected, last = decode_block(block, _REVIEWS, _parse_review)
        if rejected:
            gathering.reject([line for line, _ in rejected], [reason for _, reason in rejected])
        waiting += reviews
        lines += numbers
        if len(waiting) >= FEW_ROWS:
            add()
    add()
    interactions, rejected_rows = gathering.finish()
    return interactions, rejected_rows, last


def _read_items(path: Path, bought: set[str]) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Read the metadata of items in ``bought``; a line about any other item needs no more than an id."""
    chunks, rows = [pl.DataFrame(schema=RAW_ITEMS)], []
    rejected: list[tuple[str, int, str]] = []
    last = 0
    for block in _track_blocks(path):
        numbers, items, refused, last = decode_block(block, _ITEMS, _parse_item)
        rejected += [(path.name, line, reason) for line, reason in refused]
        refuse_flood(path.name, len(rejected), rejected_table(rejected[-1:]))
        for line, item in zip(numbers, items, strict=True):
            if item.asin in bought:
                rows.append(_read_texts(item))
            elif not item.asin.strip():
                rejected.append((path.name, line, "no asin"))
        if len(rows) >= CHUNK_ROWS:
            chunks.append(items_table(rows))
            rows = []
    chunks.append(items_table(rows))
    return pl.concat(chunks), rejected_table(sorted(rejected)), last


def _track_blocks(path: Path) -> Iterator[Block]:
    return track(read_ahead(iterate_blocks(path)), path.name, unit="block")


_REVIEWS = msgspec.json.Decoder(_Review)
_ITEMS = msgspec.json.Decoder(_Item)


def _parse_review(content: bytes) -> _Review:
    """Read a line that the fast decoder refuses: name what is wrong, or take it where JSON's looser readers would."""
    review = parse_object(content)
    time = review.get("unixReviewTime")
    if isinstance(time, bool) or not isinstance(time, int):
        raise RejectedError("no unixReviewTime" if time is None else "unixReviewTime is not a whole number")
    if not 0 <= time <= LATEST_TIMESTAMP:
        raise RejectedError("unixReviewTime out of range")
    return _Review(_get_id(review, "reviewerID"), _get_id(review, "asin"), time)


def _parse_item(content: bytes) -> _Item:
    record = parse_object(content)
    names = ("title", "brand", "category", "description")
    texts = {name: msgspec.Raw(msgspec.json.encode(_encodable(record.get(name)))) for name in names}
    return _Item(_get_id(record, "asin"), **texts)


def _read_texts(item: _Item) -> tuple[str, str | None, str | None, list[str], str | None]:
    category = msgspec.json.decode(item.category)
    return (
        item.asin,
        _join(msgspec.json.decode(item.title)),
        _join(msgspec.json.decode(item.brand)),
        [part for part in category if isinstance(part, str)] if isinstance(category, list) else [],
        _join(msgspec.json.decode(item.description)),
    )


def _get_id(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RejectedError(f"no {key}")
    if value != _encodable(value):
        raise RejectedError(f"{key} is not valid Unicode")
    return value


def _join(value: object) -> str | None:
    """Return a text, or the texts of a list as one; None for anything else."""
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else None


def _encodable(value: object) -> Any:
    r"""Drop unpaired surrogates, which JSON can spell (``\ud800``) and UTF-8 cannot, and all but texts and lists."""
    if isinstance(value, list):
        return [_encodable(part) for part in value if isinstance(part, str)]
    return value.encode("utf-8", "ignore").decode("utf-8") if isinstance(value, str) else None
