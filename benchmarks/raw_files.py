"""Raw files in the publishers' layouts, of any size, from a seed: what the benchmark of ``prepare`` reads.

Nothing in them is real. Ids, line lengths and interactions per user are shaped like the publishers'; popularity follows
a power law, so a k-core keeps most rows and removes some. Words repeat more than in real reviews, which makes the gzip
files smaller than real ones of as many lines.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from illmrec.seeds import generator

CHUNK_ROWS = 250_000
COMPRESS_LEVEL = 1
WORDS = "the a good soft bright small bottle fits my hand and works well after two weeks of daily use with no marks"
FIRST_DAY, DAYS = 17_794, 734
"""2018-09-20, in days since 1970, and the number of days of H&M's transactions."""

REVIEW = (
    '{{"overall": 5.0, "verified": true, "reviewTime": "09 1, 2016", "reviewerID": "A{}", "asin": "B{}", '
    '"style": {{"Size:": " 7.0 oz"}}, "reviewerName": "Reader {}", "reviewText": "{}", "summary": "Five Stars", '
    '"unixReviewTime": {}}}'
)
ITEM = (
    '{{"category": ["Sports &amp; Outdoors", "Fitness", "Kind {}"], "tech1": "", "description": ["<p>{}</p>", "{}"], '
    '"title": "Item number {}", "also_buy": ["B000000001", "B000000002"], "brand": "Brand {}", "feature": ["{}"], '
    '"rank": [">#1 in Sports"], "price": "$4.99", "imageURL": ["https://images.example/{}.jpg"], "asin": "B{}"}}'
)


def write_amazon(folder: Path, *, reviews: int, items: int, seed: int = 0) -> None:
    """Write ``Bench_5.json.gz`` and ``meta_Bench.json.gz``, of which one line in five is about a bought item."""
    rng = generator(seed, "amazon", reviews)
    bought, texts = max(items // 5, 20), _make_texts(rng, 4000, words=60)

    def draw_reviews(rows: int, _: int) -> pl.DataFrame:
        pairs = _draw_pairs(rng, rows, users=max(reviews // 9, 10), items=bought)
        table = pairs.with_columns(text=_pick(rng, texts, rows), time=86_400 * rng.integers(15_000, 17_700, rows))
        return table.select(pl.format(REVIEW, _digits("user", 13), _digits("item", 9), "user", "text", "time"))

    def draw_items(rows: int, start: int) -> pl.DataFrame:
        table = pl.DataFrame({"item": np.arange(start, start + rows)})
        table = table.with_columns(a=_pick(rng, texts, rows), b=_pick(rng, texts, rows))
        item = pl.col("item")
        return table.select(pl.format(ITEM, item % 97, "a", "b", "item", item % 501, "b", "item", _digits("item", 9)))

    with _open_gzip(folder / "Bench_5.json.gz") as file:
        _write_chunks(file, reviews, draw_reviews, quote="never")
    with _open_gzip(folder / "meta_Bench.json.gz") as file:
        _write_chunks(file, items, draw_items, quote="never")


def write_hm(folder: Path, *, transactions: int, seed: int = 0) -> None:
    """Write ``transactions_train.csv`` and ``articles.csv`` in the proportions of H&M's 31.8 M transactions."""
    rng = generator(seed, "hm", transactions)
    users, items = max(transactions // 23, 10), max(transactions // 300, 20)
    hexadecimal = pl.Series([rng.bytes(32).hex() for _ in range(users)])
    days = pl.select(pl.date_range(pl.date(2018, 9, 20), pl.date(2020, 9, 22)).cast(pl.String)).to_series()

    def draw(rows: int, start: int) -> pl.DataFrame:
        pairs = _draw_pairs(rng, rows, users=users, items=items)
        day = (np.arange(start, start + rows) * DAYS) // transactions  # the published file is sorted by day
        return pl.DataFrame(
            {
                "t_dat": days.gather(day),
                "customer_id": hexadecimal.gather(pairs["user"]),
                "article_id": pairs.select(_digits("item", 10)).to_series(),
                "price": rng.random(rows).round(16),
                "sales_channel_id": rng.integers(1, 3, rows),
            }
        )

    with (folder / "transactions_train.csv").open("wb") as file:
        file.write(b"t_dat,customer_id,article_id,price,sales_channel_id\n")
        _write_chunks(file, transactions, draw)
    articles = pl.DataFrame({"item": np.arange(items)}).select(
        article_id=_digits("item", 10),
        prod_name=pl.format("Top {}", "item"),
        product_type_name=pl.lit("Vest top"),
        product_group_name=pl.lit("Garment Upper body"),
        index_group_name=pl.lit("Ladieswear"),
        detail_desc=pl.format("Jersey top number {}, with narrow straps.", "item"),
    )
    articles.write_csv(folder / "articles.csv")


def write_microlens(folder: Path, *, users: int, seed: int = 0) -> None:
    """Write pairs and titles of ``users`` users with about nine interactions each."""
    rng = generator(seed, "microlens", users)
    pairs, items = users * 9, max(users // 11, 20)

    def draw(rows: int, _: int) -> pl.DataFrame:
        time = rng.integers(1_583_000_000_000, 1_663_000_000_000, rows)
        return _draw_pairs(rng, rows, users=users, items=items).with_columns(timestamp=time)

    with (folder / "MicroLens-1M_pairs.csv").open("wb") as file:
        file.write(b"user,item,timestamp\n")
        _write_chunks(file, pairs, draw)
    titles = pl.DataFrame({"item": np.arange(items)}).with_columns(title=pl.format("Video, number {}", "item"))
    titles.write_csv(folder / "MicroLens-1M_title_en.csv", include_header=False)


def _open_gzip(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile(path, "wb", compresslevel=COMPRESS_LEVEL, mtime=0)


def _write_chunks(
    file: IO[bytes] | gzip.GzipFile, rows: int, draw: Callable[[int, int], pl.DataFrame], quote: str = "necessary"
) -> None:
    for start, count in _chunk(rows):
        file.write(draw(count, start).write_csv(include_header=False, quote_style=quote).encode())  # type: ignore[arg-type]


def _chunk(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, CHUNK_ROWS):
        yield start, min(CHUNK_ROWS, rows - start)


def _draw_pairs(rng: np.random.Generator, rows: int, *, users: int, items: int) -> pl.DataFrame:
    """Draw (user, item) numbers: users nearly alike, items by a power law."""
    user = (users * rng.random(rows) ** 1.5).astype(np.int64)
    item = (items * rng.random(rows) ** 3).astype(np.int64)
    return pl.DataFrame({"user": user, "item": item})


def _make_texts(rng: np.random.Generator, count: int, *, words: int) -> pl.Series:
    vocabulary = np.array(WORDS.split())
    lengths = rng.integers(5, 2 * words, count)
    return pl.Series([" ".join(rng.choice(vocabulary, length)) for length in lengths])


def _pick(rng: np.random.Generator, texts: pl.Series, rows: int) -> pl.Series:
    return texts.gather(rng.integers(0, len(texts), rows))


def _digits(column: str, width: int) -> pl.Expr:
    return pl.col(column).cast(pl.String).str.zfill(width)
