"""The plain way from raw files to sequences and negatives: pandas and json.loads, a line per step.

Slow, but short enough to be seen to be right: the reference of the benchmark, and an oracle for tests. It does what the
stages ``prepare`` and ``split`` do, and nothing in a way that is slow on purpose: ids are pandas categories from the
start, every step on interactions is one vectorised call, and of several plain spellings the fastest stands here.

It does less in three things: CSV rows with too many fields pass, the summary's shares are not computed, and a user's
negatives are not the same whoever else is in the data. No picture is looked for.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.plain_texts import clean_plainly, remove_boilerplate_plainly
from illmrec.seeds import derive_seed_of_each, spread_bits

LATEST = 253_402_300_799
SHORTEST = 3
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
UNREADABLE, LATE = "timestamp missing or not readable", "timestamp out of range"
REASONS = ("no user", "no item", "line break in an id", "control character in an id", UNREADABLE, LATE)
"""What can be wrong with a row of a CSV file; of several the first is named."""
PAIRS_FILE, TITLES_FILE = "MicroLens-1M_pairs.csv", "MicroLens-1M_title_en.csv"
TEXTS = ["title", "brand", "category", "description"]
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class PlainRaw:
    """What was read: interactions and items in the order of the files, and malformed rows."""

    interactions: pd.DataFrame
    items: pd.DataFrame
    rejected: pd.DataFrame


def read_plainly(layout: str, folder: Path) -> PlainRaw:
    """Read a folder; ids as categories, times in seconds, malformed rows aside."""
    if layout == "amazon":
        return _read_amazon(folder)
    raw = _read_hm(folder) if layout == "hm" else _read_microlens(folder)
    return _set_aside(raw, "transactions_train.csv" if layout == "hm" else PAIRS_FILE)


def prepare_plainly(raw: PlainRaw, core: int, seed: int = 0) -> Tables:
    """Return the tables of ``prepare``: interactions in history order parted by the k-core, clean texts and others."""
    kept, below = _part_by_core(_order(raw.interactions, seed), core)
    raw_texts = _take_texts(raw.items, kept["item_id"].cat.categories)
    return {
        "interactions": kept,
        "interactions_below_core": below,
        "items": _clean_items(raw_texts, kept["item_id"].cat.categories),
        "raw_texts": raw_texts,
        "users": _list_users(raw.interactions, kept),
        "rejected": raw.rejected,
    }


def split_plainly(interactions: pd.DataFrame, negatives: int, seed: int = 0) -> Tables:
    """Return the tables of ``split``: each user's training items and two targets, and items the user never had."""
    codes = interactions["user_id"].cat.codes.to_numpy()
    starts = np.flatnonzero(np.diff(codes)) + 1
    histories = np.split(interactions["item_id"].cat.codes.to_numpy().astype(np.int32), starts)
    named = zip(interactions["user_id"].cat.categories, histories, strict=True)
    long_enough = {user: history for user, history in named if len(history) >= SHORTEST}
    rows = list(long_enough.values())
    sequences = pd.DataFrame(
        {
            "user_index": np.arange(len(rows), dtype=np.int32),
            "user_id": list(long_enough),
            "train": [history[:-2] for history in rows],
            "valid": [history[-2] for history in rows],
            "test": [history[-1] for history in rows],
        }
    )
    drawn = _draw_negatives(rows, len(interactions["item_id"].cat.categories), negatives, seed)
    return {
        "sequences": sequences,
        "negatives": pd.DataFrame({"user_index": sequences["user_index"], "negatives": drawn}),
    }


def write_plainly(tables: Tables, folder: Path) -> None:
    """Write each table to a Parquet file."""
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)


def _read_amazon(folder: Path) -> PlainRaw:
    reviews, meta = folder / "Bench_5.json.gz", folder / "meta_Bench.json.gz"
    rejected: list[tuple[str, int, str]] = []
    users, items, times = [], [], []
    for number, record in _read_objects(reviews, rejected):
        if reason := _judge_review(record):
            rejected.append((reviews.name, number, reason))
            continue
        users.append(record["reviewerID"])
        items.append(record["asin"])
        times.append(record["unixReviewTime"])
    interactions = _code(pd.DataFrame({"user_id": users, "item_id": items, "timestamp": np.array(times, np.int64)}))
    bought, texts = set(items), []
    for number, record in _read_objects(meta, rejected):
        if not _is_id(record.get("asin")):
            rejected.append((meta.name, number, "no asin"))
        elif record["asin"] in bought:
            category = record.get("category")
            names = [name for name in category if isinstance(name, str)] if isinstance(category, list) else []
            title, brand, description = (_join(record.get(key)) for key in ("title", "brand", "description"))
            texts.append((record["asin"], title, brand, names, description))
    return PlainRaw(interactions, pd.DataFrame(texts, columns=["item_id", *TEXTS]), _list_rejected(rejected))


def _read_objects(path: Path, rejected: list[tuple[str, int, str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                rejected.append((path.name, number, "not JSON"))
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                rejected.append((path.name, number, "not a JSON object"))


def _judge_review(record: dict[str, Any]) -> str:
    """Return what is wrong with a review, an empty text where nothing is."""
    time = record.get("unixReviewTime")
    if type(time) is not int:
        return "no unixReviewTime" if time is None else "unixReviewTime is not a whole number"
    if not 0 <= time <= LATEST:
        return "unixReviewTime out of range"
    for key in ("reviewerID", "asin"):
        if not _is_id(record.get(key)):
            return f"no {key}"
    both = record["reviewerID"] + record["asin"]
    if not CONTROL.search(both):
        return ""
    return "line break in an id" if re.search(r"[\r\n]", both) else "control character in an id"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _join(value: object) -> str | None:
    if isinstance(value, list):
        return "\n".join(part for part in value if isinstance(part, str))
    return value if isinstance(value, str) else None


def _read_hm(folder: Path) -> PlainRaw:
    names = {"customer_id": "user_id", "article_id": "item_id", "t_dat": "timestamp"}
    frame = _read_csv(folder / "transactions_train.csv", dtype=str, usecols=list(names)).rename(columns=names)
    days = pd.to_datetime(frame["timestamp"], format="%Y-%m-%d", errors="coerce")
    frame["timestamp"] = (days - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    articles = _read_csv(folder / "articles.csv", dtype=str).fillna("")
    category = articles[["index_group_name", "product_group_name", "product_type_name"]].to_numpy().tolist()
    items = pd.DataFrame({"item_id": articles["article_id"], "title": articles["prod_name"], "brand": ""})
    items["category"], items["description"] = category, articles["detail_desc"]
    return PlainRaw(_code(frame), items, _list_rejected([]))


def _read_microlens(folder: Path) -> PlainRaw:
    frame = _read_csv(folder / PAIRS_FILE, dtype={"user": str, "item": str}, usecols=["user", "item", "timestamp"])
    frame = frame.rename(columns={"user": "user_id", "item": "item_id"})
    frame["timestamp"] = pd.to_numeric(frame["timestamp"], errors="coerce") // 1000
    items = _read_csv(folder / TITLES_FILE, dtype=str, header=None, names=["item_id", "title"])
    items["brand"], items["category"], items["description"] = None, [[] for _ in items.index], ""
    return PlainRaw(_code(frame), items, _list_rejected([]))


def _read_csv(path: Path, **settings: Any) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_csv(path, na_values=[""], keep_default_na=False, skip_blank_lines=False, **settings)
    return frame


def _code(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype({"user_id": "category", "item_id": "category"})[["user_id", "item_id", "timestamp"]]


def _set_aside(raw: PlainRaw, file: str) -> PlainRaw:
    """Part the malformed rows from the good; the header is line 1, so a frame's row 0 is line 2."""
    frame = raw.interactions
    late = ~frame["timestamp"].between(0, LATEST)
    time = np.select([frame["timestamp"].isna(), late], [REASONS.index(UNREADABLE), REASONS.index(LATE)], len(REASONS))
    faults = np.minimum(_judge_ids(frame["user_id"], "no user"), _judge_ids(frame["item_id"], "no item"))
    faults = np.minimum(faults, time)
    good = faults == len(REASONS)
    rejected = [(file, int(row) + 2, REASONS[faults[row]]) for row in np.flatnonzero(~good)]
    frame = frame[good].astype({"timestamp": np.int64})
    if rejected:
        frame["user_id"] = frame["user_id"].cat.remove_unused_categories()
        frame["item_id"] = frame["item_id"].cat.remove_unused_categories()
    return PlainRaw(frame, raw.items, _list_rejected(rejected))


def _judge_ids(column: pd.Series, blank: str) -> npt.NDArray[np.integer[Any]]:
    """Return the place in ``REASONS`` of what is wrong with each row's id, its length where nothing is."""
    ids = column.cat.categories.to_series()
    checks = [ids.str.strip() == "", ids.str.contains(r"[\r\n]"), ids.str.contains(CONTROL)]
    reasons = [REASONS.index(reason) for reason in (blank, "line break in an id", "control character in an id")]
    of_id = np.append(np.select(checks, reasons, len(REASONS)), REASONS.index(blank))  # the last for code -1: no id
    return of_id[column.cat.codes]


def _list_rejected(rejected: list[tuple[str, int, str]]) -> pd.DataFrame:
    return pd.DataFrame(rejected, columns=["file", "row", "reason"]).sort_values(["file", "row"], ignore_index=True)


def _order(interactions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Order by user and time, ties by the seeded hash of user and item."""
    users, items = interactions["user_id"].cat, interactions["item_id"].cat
    of_user = derive_seed_of_each(users.categories, seed, "tie")
    of_item = derive_seed_of_each(items.categories, seed, "tie")
    ties = spread_bits(of_user[users.codes] + of_item[items.codes] * np.uint64(0x9E3779B97F4A7C15))
    return interactions.iloc[np.lexsort((ties, interactions["timestamp"], users.codes))]


def _part_by_core(ordered: pd.DataFrame, core: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop duplicates and repeats, then users and items with too few until nothing changes."""
    distinct = ordered.drop_duplicates(["user_id", "item_id"]).reset_index(drop=True)
    kept = distinct
    while True:
        enough = (kept.groupby("user_id", observed=True)["item_id"].transform("size") >= core) & (
            kept.groupby("item_id", observed=True)["user_id"].transform("size") >= core
        )
        if enough.all():
            break
        kept = kept[enough]
    below = distinct.drop(kept.index)
    columns = {name: kept[name].cat.remove_unused_categories() for name in ("user_id", "item_id")}
    return kept.assign(**columns), below


def _take_texts(items: pd.DataFrame, core: pd.Index) -> pd.DataFrame:
    return items[items["item_id"].isin(core)].drop_duplicates("item_id").sort_values("item_id", ignore_index=True)


def _clean_items(raw_texts: pd.DataFrame, core: pd.Index) -> pd.DataFrame:
    """Clean each text; an item that the publisher does not describe has empty ones."""
    names = [[clean_plainly(name) for name in names] for names in raw_texts["category"]]
    clean = pd.DataFrame({"item_id": raw_texts["item_id"]})
    for column in ("title", "brand", "description"):
        clean[column] = [clean_plainly(text) if isinstance(text, str) else "" for text in raw_texts[column]]
    clean["category"] = [[name for name in category if name] for category in names]
    clean["description"] = remove_boilerplate_plainly(clean["description"].tolist())
    items = pd.DataFrame({"item_id": core}).merge(clean, on="item_id", how="left")
    items["category"] = [category if isinstance(category, list) else [] for category in items["category"]]
    items["image_ref"], items["image_status"] = "", "missing"
    return items.fillna({"title": "", "brand": "", "description": ""})


def _list_users(interactions: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    users = interactions["user_id"].cat.categories
    in_core = users.isin(kept["user_id"].cat.categories)
    return pd.DataFrame({"user_id": users, "status": np.where(in_core, "core", "below_core")})


def _draw_negatives(histories: list[npt.NDArray[np.int32]], items: int, count: int, seed: int) -> list[list[int]]:
    """Draw items a user never had: as many more as the user had, those had left out."""
    rng = np.random.default_rng(seed)
    drawn = []
    for history in histories:
        had = set(history.tolist())
        candidates = rng.choice(items, min(count + len(had), items), replace=False).tolist()
        drawn.append([item for item in candidates if item not in had][:count])
    return drawn
