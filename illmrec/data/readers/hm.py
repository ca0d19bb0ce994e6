"""H&M Personalized Fashion Recommendations as published.

Layout of the folder::

    transactions_train.csv        t_dat (a date), customer_id, article_id, price, sales_channel_id
    articles.csv                  25 columns; article_id keeps its leading zeros
    customers.csv                 customer_id and more; may be missing
    images/<AAA>/<article_id>.jpg AAA being the first three digits of the id

The time of a purchase is a day, so most interactions of a user tie with others. ``brand`` stays empty: all is H&M's.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.files.csv_files import (
    iterate_records,
    iterate_tables,
    read_header,
    read_interactions,
    require_columns,
)
from illmrec.data.files.picture_files import list_folders, list_pictures, pictures_table
from illmrec.data.raw import RawCatalog, ReadOptions, find_one, items_table, rejected_table

CATEGORY = ("index_group_name", "product_group_name", "product_type_name")
"""Columns of the category, most general first."""


def read(folder: Path, _options: ReadOptions) -> RawCatalog:
    """Read the folder as :func:`illmrec.data.readers.read_raw` asks for it; see :func:`read_hm`."""
    return read_hm(folder)


def read_hm(folder: Path) -> RawCatalog:
    """Read H&M's catalog; see the module for the layout.

    Raises:
        DataError: when a file or column is missing, or a file is damaged.
    """
    transactions = find_one(folder, ["transactions_train.csv"], "table of transactions")
    articles = find_one(folder, ["articles.csv"], "table of articles")
    columns = {USER_ID: "customer_id", ITEM_ID: "article_id", TIMESTAMP: "t_dat"}
    seconds = pl.col(TIMESTAMP).str.to_date("%Y-%m-%d", strict=False).dt.epoch("s").cast(pl.Int64)
    interactions, rejected, rows = read_interactions(transactions, columns, seconds)
    items, items_rejected, item_rows = _read_articles(articles)
    customers, customers_rejected, user_rows = _read_customers(folder / "customers.csv")
    return RawCatalog(
        interactions=interactions,
        items=items,
        extra_users=customers,
        pictures=_find_pictures(folder),
        rejected=pl.concat([rejected, items_rejected, customers_rejected]),
        rows={transactions.name: rows, articles.name: item_rows, "customers.csv": user_rows},
        counts={"raw_interaction_rows": rows, "raw_item_rows": item_rows, "raw_user_rows": user_rows},
    )


def _read_articles(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    require_columns(path, read_header(path), ["article_id", "prod_name", *CATEGORY, "detail_desc"])
    rows: list[tuple[str, str, str, list[str], str]] = []
    rejected: list[tuple[str, int, str]] = []
    for line, record in iterate_records(path):
        if record is None or not record["article_id"].strip():
            rejected.append((path.name, line, "no item" if record else "wrong number of fields"))
            continue
        category = [record[name] for name in CATEGORY]
        rows.append((record["article_id"], record["prod_name"], "", category, record["detail_desc"]))
    items = items_table(rows)
    return items, rejected_table(rejected), items.height + len(rejected)


def _read_customers(path: Path) -> tuple[pl.Series, pl.DataFrame, int]:
    if not path.is_file():
        return pl.Series(USER_ID, [], pl.String), rejected_table(), 0
    tables = [table.select(USER_ID) for table in iterate_tables(path, {USER_ID: "customer_id"})]
    ids = pl.concat([pl.DataFrame(schema={USER_ID: pl.String}), *tables]).to_series()
    blank = (ids.str.strip_chars() == "").fill_null(value=True)
    rejected = rejected_table((path.name, row + 2, "no user") for row in blank.arg_true())
    return ids.filter(~blank), rejected, len(ids)


def _find_pictures(folder: Path) -> pl.DataFrame:
    images = folder / "images"
    return pictures_table(
        (article, 0, f"images/{group}/{name}")
        for group in list_folders(images)
        for article, name in list_pictures(images / group).items()
        if article[:3] == group
    )
