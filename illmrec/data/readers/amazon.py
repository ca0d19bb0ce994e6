"""Amazon Reviews 2018 as published: one JSON object a line, gzip.

Layout of the folder::

    <Category>_5.json.gz      reviews (reviewerID, asin, unixReviewTime, ...); another single *.json.gz is taken too
    meta_<Category>.json.gz   items (asin, title, brand, category: list, description: list, ...)
    images/<asin>.jpg         or .jpeg .png .webp .gif .bmp; fetched from the metadata's imageURL by its user

The metadata file may be missing: items then go without texts, which the quality gate refuses.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.columns import INTERACTIONS, ITEM_ID, USER_ID
from illmrec.data.raw import LATEST_TIMESTAMP, RAW_ITEMS, RawCatalog, find_one, rejected_table
from illmrec.data.readers.picture_files import list_pictures, pictures_table
from illmrec.errors import DataError
from illmrec.progress import track

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line means that the file is not one object a line; it is refused before it fills the memory."""

CHUNK_ROWS = 200_000
"""Rows gathered as Python objects before they become a table."""


class _RejectedError(Exception):
    """A line that is set aside; the message is the reason."""


def read_amazon(folder: Path) -> RawCatalog:
    """Read one category of Amazon Reviews 2018; see the module for the layout.

    Raises:
        DataError: when the reviews are missing, or a file is damaged; names the file and its last good line.
    """
    reviews = _find_reviews(folder)
    warnings: tuple[str, ...] = ()
    interactions, rejected, rows = _read_table(reviews, _parse_review, INTERACTIONS)
    metadata, looked_for = _find_metadata(folder, reviews)
    if metadata is None:
        items, items_rejected, item_rows = pl.DataFrame(schema=RAW_ITEMS), rejected_table(), 0
        missing = f"{folder / looked_for} is missing: every item goes without title, brand, category and description."
        warnings = (f"{missing} Put the metadata file of this category, {looked_for}, beside {reviews.name}.",)
    else:
        bought = set(interactions[ITEM_ID].unique())
        items, items_rejected, item_rows = _read_table(metadata, lambda line: _parse_item(line, bought), RAW_ITEMS)
    pictures = [(item, 0, f"images/{name}") for item, name in list_pictures(folder / "images").items()]
    return RawCatalog(
        interactions=interactions,
        items=items,
        extra_users=pl.Series(USER_ID, [], pl.String),
        pictures=pictures_table(pictures),
        rejected=rejected.vstack(items_rejected),
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


def _read_table(
    path: Path, parse: Callable[[bytes], dict[str, Any] | None], schema: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Parse each line; return the parsed rows (None is left out), the rejected ones, and the number of lines."""
    chunks, rows = [pl.DataFrame(schema=schema)], []
    rejected: list[tuple[str, int, str]] = []
    line = 0
    for line, content in track(_iterate_lines(path), path.name, unit="line"):
        try:
            row = parse(content)
        except _RejectedError as reason:
            rejected.append((path.name, line, str(reason)))
            continue
        if row is not None:
            rows.append(row)
        if len(rows) == CHUNK_ROWS:
            chunks.append(pl.DataFrame(rows, schema=schema))
            rows = []
    chunks.append(pl.DataFrame(rows, schema=schema))
    return pl.concat(chunks), rejected_table(rejected), line


def _iterate_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    line = 0
    try:
        with gzip.open(path, "rb") as file:
            while content := file.readline(MAX_LINE_BYTES):
                if len(content) == MAX_LINE_BYTES:
                    message = f"line {line + 1} is longer than {MAX_LINE_BYTES:,} bytes; expected one object a line."
                    raise DataError(message, path=path, row=line + 1)
                line += 1
                yield line, content
    except (OSError, EOFError) as error:
        hint = "The file is damaged or incomplete; fetch it again."
        raise DataError(f"cannot be read past line {line}: {error}.", path=path, row=line, hint=hint) from None
    if line == 0:
        raise DataError("is empty.", path=path, hint="Put the publisher's whole file there.")


def _parse_object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise _RejectedError("not JSON") from None
    if not isinstance(value, dict):
        raise _RejectedError("not a JSON object")
    return value


def _parse_review(content: bytes) -> dict[str, Any]:
    review = _parse_object(content)
    time = review.get("unixReviewTime")
    if isinstance(time, bool) or not isinstance(time, int):
        raise _RejectedError("no unixReviewTime" if time is None else "unixReviewTime is not a whole number")
    if not 0 <= time <= LATEST_TIMESTAMP:
        raise _RejectedError("unixReviewTime out of range")
    return {"user_id": _get_id(review, "reviewerID"), "item_id": _get_id(review, "asin"), "timestamp": time}


def _parse_item(content: bytes, bought: set[str]) -> dict[str, Any] | None:
    record = _parse_object(content)
    item_id = _get_id(record, "asin")
    if item_id not in bought:
        return None
    category = record.get("category")
    return {
        "item_id": item_id,
        "title": _join(record.get("title")),
        "brand": _join(record.get("brand")),
        "category": [_encodable(part) for part in category if isinstance(part, str)]
        if isinstance(category, list)
        else [],
        "description": _join(record.get("description")),
    }


def _get_id(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _RejectedError(f"no {key}")
    if value != _encodable(value):
        raise _RejectedError(f"{key} is not valid Unicode")
    return value


def _join(value: object) -> str | None:
    """Return a text, or the texts of a list as one; None for anything else."""
    if isinstance(value, list):
        return _encodable("\n".join(part for part in value if isinstance(part, str)))
    return _encodable(value) if isinstance(value, str) else None


def _encodable(text: str) -> str:
    r"""Drop unpaired surrogates, which JSON can spell (``\ud800``) and UTF-8 cannot."""
    return text.encode("utf-8", "ignore").decode("utf-8")
