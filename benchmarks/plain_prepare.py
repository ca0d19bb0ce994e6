"""The plain way from raw files to sequences: pandas and json.loads, a line per step.

Slow, but short enough to be seen to be right: the reference of the benchmark, and an oracle for tests.
"""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import pandas as pd

PART = 100_000
TABLES = {"hm": "transactions_train.csv", "microlens": "MicroLens-1M_pairs.csv"}
NAMES = {
    "amazon": {"reviewerID": "user_id", "asin": "item_id", "unixReviewTime": "timestamp"},
    "hm": {"customer_id": "user_id", "article_id": "item_id", "t_dat": "timestamp"},
    "microlens": {"user": "user_id", "item": "item_id", "timestamp": "timestamp"},
}


def read_plainly(layout: str, folder: Path) -> pd.DataFrame:
    """Read the interactions of a folder (and of Amazon's the metadata, which is then dropped)."""
    if layout == "amazon":
        frame = _read_json_lines(folder / "Bench_5.json.gz", list(NAMES[layout]))
        _read_json_lines(folder / "meta_Bench.json.gz", ["asin", "title", "brand", "category", "description"])
    elif layout == "hm":
        frame = pd.read_csv(folder / TABLES[layout], dtype={"article_id": str}, parse_dates=["t_dat"])
    else:
        frame = pd.read_csv(folder / TABLES[layout], dtype={"user": str, "item": str})
    return frame.rename(columns=NAMES[layout])[["user_id", "item_id", "timestamp"]]


def _read_json_lines(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read the objects into tables a part at a time, as all at once take 14 GB at five million lines."""
    with gzip.open(path) as file:
        lines = iter(file)
        parts = []
        while records := [json.loads(line) for line in itertools.islice(lines, PART)]:
            parts.append(pd.DataFrame(records)[columns])
    return pd.concat(parts, ignore_index=True)


def prepare_plainly(interactions: pd.DataFrame, core: int) -> pd.DataFrame:
    """Drop duplicates and repeats, apply the k-core and order by user and time (ties in the order of the file)."""
    kept = interactions.sort_values(["user_id", "timestamp"], kind="stable")
    kept = kept.drop_duplicates(["user_id", "item_id"])
    while True:
        enough = (kept.groupby("user_id")["item_id"].transform("size") >= core) & (
            kept.groupby("item_id")["user_id"].transform("size") >= core
        )
        if enough.all():
            return kept
        kept = kept[enough]


def split_plainly(kept: pd.DataFrame) -> pd.DataFrame:
    """Return each user's training items, validation item and test item."""
    histories = kept.groupby("user_id")["item_id"].agg(list)
    histories = histories[histories.map(len) >= 3]
    return pd.DataFrame(
        {"train": histories.map(lambda h: h[:-2]), "valid": histories.map(lambda h: h[-2]), "test": histories.str[-1]}
    )
