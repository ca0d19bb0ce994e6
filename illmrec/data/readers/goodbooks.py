"""Goodbooks-10k as published: ratings of books, without pictures and without times.

Layout of the folder::

    ratings.csv      user_id,book_id,rating; sorted by time, its publisher says
    books.csv        book_id, authors, title, original_title and more; may be missing
    book_tags.csv    optional, with tags.csv: the shelves readers put a book on; the commonest becomes its category
    images/          optional: <book_id>.jpg or .jpeg .png .webp .gif .bmp, fetched by its user

There are no times, so a row's place in the file stands for its timestamp: the order within a history is the file's, and
nothing that rests on the clock (ties, seasons, the leak across users) means anything. There are no descriptions, and
without pictures what stands in for a missing one carries everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.data.files.coded import CodedInteractions, InteractionCoder
from illmrec.data.files.csv_files import EXTRA, iterate_records, iterate_tables, read_header, require_columns
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

LOWEST_RATING, HIGHEST_RATING = 1, 5

MAX_DIGITS = 10
"""A longer count of readers is no count."""

SHELVES = (
    "books-i-own|own|owned|owned-books|i-own|my-books|my-library|library|library-books|to-buy|to-read|currently-reading|"
    "read|re-read|reread|favorites|favourites|all-time-favorites|default|wish-list|kindle|ebook|ebooks|e-book|e-books|"
    "audiobook|audiobooks|audio|audible|books|book-club|bookclub|borrowed|have|finished|dnf|did-not-finish|abandoned|"
    "unfinished|maybe|next|series|novels|novel"
)
"""Shelves that say what a reader did or has, not what a book is."""

_SHELVES = frozenset(SHELVES.split("|"))


def read(folder: Path, options: ReadOptions) -> RawCatalog:
    """Read the folder as :func:`illmrec.data.readers.read_raw` asks for it; see :func:`read_goodbooks`."""
    return read_goodbooks(folder, min_rating=options.min_rating, missing_items=options.missing_items)


def read_goodbooks(
    folder: Path, *, min_rating: int = LOWEST_RATING, missing_items: MissingItems = "warn"
) -> RawCatalog:
    """Read Goodbooks-10k; see the module for the layout.

    Args:
        folder: the raw folder.
        min_rating: lowest rating that counts as an interaction, 1 to 5.
        missing_items: whether to go on without ``books.csv``.

    Raises:
        DataError: when a file or column is missing, or a file is damaged.
    """
    ratings = find_one(folder, ["ratings.csv", "ratings.csv.gz"], "table of ratings")
    interactions, rejected, rows, low = _read_ratings(ratings, min_rating)
    books = folder / "books.csv"
    warnings: tuple[str, ...] = ()
    items, items_rejected, item_rows = pl.DataFrame(schema=RAW_ITEMS), rejected_table(), 0
    if books.is_file():
        items, items_rejected, item_rows = _read_books(books, _read_genres(folder))
    else:
        warnings = report_missing_items(books, missing_items, "title, author and category")
    pictures = [(item, 0, f"images/{name}") for item, name in list_pictures(folder / "images").items()]
    return RawCatalog(
        interactions=interactions,
        items=items,
        extra_users=pl.Series(USER_ID, [], pl.String),
        pictures=pictures_table(pictures),
        rejected=pl.concat([rejected, items_rejected]),
        rows={ratings.name: rows, books.name: item_rows},
        counts={"raw_interaction_rows": rows, "raw_item_rows": item_rows, "ratings_below_min_rating": low},
        warnings=warnings,
    )


def _read_ratings(path: Path, min_rating: int) -> tuple[CodedInteractions, pl.DataFrame, int, int]:
    gathering = InteractionCoder(path.name, item="book")
    rows = low = 0
    for table in iterate_tables(path, {USER_ID: "user_id", ITEM_ID: "book_id", "rating": "rating"}):
        numbers = pl.Series("row", np.arange(rows, rows + table.height))
        rows += table.height
        table = table.with_columns(numbers, pl.col("rating").str.strip_chars().cast(pl.Int64, strict=False))
        rated = pl.col("rating").is_between(LOWEST_RATING, HIGHEST_RATING).fill_null(value=False) | pl.col(EXTRA)
        bad = table.filter(~rated)["row"]
        gathering.reject(bad + 2, [f"rating is not a whole number from {LOWEST_RATING} to {HIGHEST_RATING}"] * len(bad))
        good = table.filter(rated)
        liked = good.filter((pl.col("rating") >= min_rating) | pl.col(EXTRA))
        low += good.height - liked.height
        lines = (liked["row"] + 2).to_numpy()
        gathering.add(liked[USER_ID], liked[ITEM_ID], liked["row"], rows=lines, ragged=liked[EXTRA])
    interactions, rejected = gathering.finish()
    return interactions, rejected, rows, low


def _read_books(path: Path, genres: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    require_columns(path, read_header(path), ["book_id", "authors", "title"])
    rows: list[tuple[str, str, str, list[str], None]] = []
    rejected: list[tuple[str, int, str]] = []
    for line, record in iterate_records(path):
        if record is None or not record["book_id"].strip():
            rejected.append((path.name, line, "no book" if record else "wrong number of fields"))
            continue
        title = record["title"] or record.get("original_title", "")
        genre = genres.get(record.get("goodreads_book_id", ""))
        rows.append((record["book_id"], title, record["authors"], [genre] if genre else [], None))
    items = items_table(rows)
    return items, rejected_table(rejected), items.height + len(rejected)


def _read_genres(folder: Path) -> dict[str, str]:
    """Return the commonest shelf of each book, by ``goodreads_book_id``, that says what the book is."""
    tags_path, used_path = folder / "tags.csv", folder / "book_tags.csv"
    if not (tags_path.is_file() and used_path.is_file()):
        return {}
    tags = {record["tag_id"]: record["tag_name"] for record in _read_small(tags_path, ["tag_id", "tag_name"])}
    best: dict[str, tuple[int, str]] = {}
    for record in _read_small(used_path, ["goodreads_book_id", "tag_id", "count"]):
        name, count, book = tags.get(record["tag_id"], ""), record["count"].strip(), record["goodreads_book_id"]
        if not name or name in _SHELVES or not (count.isascii() and count.isdecimal() and len(count) < MAX_DIGITS):
            continue
        # The most readers; among equals the first name in the alphabet.
        if book not in best or (-int(count), name) < (-best[book][0], best[book][1]):
            best[book] = (int(count), name)
    return {book: name.replace("-", " ") for book, (_, name) in best.items()}


def _read_small(path: Path, needed: list[str]) -> Iterator[dict[str, str]]:
    require_columns(path, read_header(path), needed)
    return (record for _, record in iterate_records(path) if record is not None)
