"""A data set in a few kilobytes: counts and distributions, to be kept beside a model and compared with later data.

Holds no id and no text of the catalog but the names of its general categories, the first two of each path, escaped for
HTML; brands are told apart by a digest.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.columns import IMAGE_OK, ITEM_ID, TIMESTAMP, USER_ID
from illmrec.errors import DataError
from pipelines.quality import noise
from pipelines.quality.picture_facts import count_shorter_side
from pipelines.quality.tables import complete_columns

PROFILE_FILE = "profile.json"
FORM = 1
"""Changes when profiles of two versions can no longer be compared."""

EDGES: dict[str, tuple[int, ...]] = {
    "history_length": (5, 6, 7, 8, 10, 12, 16, 24, 32, 64, 128),
    "item_popularity": (5, 6, 7, 8, 10, 12, 16, 24, 32, 64, 128, 256, 1024, 4096),
    "description_words": (1, 5, 10, 20, 40, 80, 160, 320, 640),
    "picture_side": (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024),
}
"""Field -> where its bins begin; below the first edge lies one more bin. Fixed, so that any two profiles compare."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
NAMED = 50
"""Categories and brands told apart; the rest is one."""
NAME_LENGTH = 80
OTHER, NONE = "(other)", "(none)"


def build_profile(tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Return the profile of the prepared tables as plain JSON values.

    Args:
        tables: see :data:`pipelines.quality.tables.SCHEMAS`.

    Returns:
        ``form``; ``counts`` of rows; ``time``, first and last timestamp; ``numbers``, for each field of :data:`EDGES`
        the share of rows in each bin, quantiles and the rows behind them; ``names``, for each of category, brand and
        picture_status the share of items by name.
    """
    complete = complete_columns(dict(tables))
    interactions, items, images = complete["interactions"], complete["items"], complete["images"]
    words = items.select(noise.count_words(pl.col("description"))).to_series()
    sides = images.filter(pl.col("status") == IMAGE_OK).select(count_shorter_side()).to_series()
    fields = {
        "history_length": interactions.group_by(USER_ID).len()["len"],
        "item_popularity": interactions.group_by(ITEM_ID).len()["len"],
        "description_words": words,
        "picture_side": sides.drop_nulls(),
    }
    return {
        "form": FORM,
        "counts": {
            "users": interactions[USER_ID].n_unique(),
            "items": items.height,
            "interactions": interactions.height,
            "pictures": images.height,
        },
        "time": {"first": interactions[TIMESTAMP].min(), "last": interactions[TIMESTAMP].max()},
        "numbers": {name: _describe_numbers(values, EDGES[name]) for name, values in fields.items()},
        "names": {
            "category": _describe_names(
                items["category"].list.head(2).list.join(" > ", ignore_nulls=True), escape_name
            ),
            "brand": _describe_names(items["brand"], hide_name),
            "picture_status": _describe_names(items["image_status"], escape_name),
        },
    }


def _describe_numbers(values: pl.Series, edges: Sequence[int]) -> dict[str, Any]:
    counts = [0] * (len(edges) + 1)
    if len(values):
        places = pl.Series(edges).search_sorted(values.cast(pl.Int64), side="right")
        for place, count in places.value_counts().iter_rows():
            counts[place] = count
    total = max(1, len(values))
    return {
        "rows": len(values),
        "edges": list(edges),
        "shares": [round(count / total, 6) for count in counts],
        "quantiles": {f"{share:g}": values.quantile(share) for share in QUANTILES},
    }


def _describe_names(names: pl.Series, encode: Callable[[str], str]) -> dict[str, float]:
    """Return the share of items by encoded name: the commonest ones, the rest together, and those without."""
    filled = names.fill_null("").str.strip_chars()
    counts = filled.value_counts(name="count").sort("count", filled.name, descending=[True, False])
    shares: dict[str, float] = {}
    named = 0
    for name, count in counts.iter_rows():
        key = NONE if not name else encode(name) if named < NAMED else OTHER
        named += bool(name)
        shares[key] = shares.get(key, 0.0) + count / len(filled)
    return {key: round(share, 6) for key, share in shares.items()}


def escape_name(name: str) -> str:
    """Return a name that is harmless in HTML and on a terminal, of bounded length."""
    printable = "".join(c if c.isprintable() else "\ufffd" for c in name[:NAME_LENGTH])
    return html.escape(printable)


def hide_name(name: str) -> str:
    """Return a digest that tells names apart without saying them."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


PROFILE_TAG = "profile_sha256"


MAX_PROFILE_BYTES = 1_000_000


def read_profile(path: Path) -> dict[str, Any]:
    """Read a profile.

    Raises:
        DataError: when the file is too large, not JSON, or of another form than this version writes.
    """
    hint = "Give a profile.json that `illmrec validate` wrote."
    size = path.stat().st_size
    if size > MAX_PROFILE_BYTES:
        raise DataError(f"has {size:,} bytes, expected at most {MAX_PROFILE_BYTES:,}.", path=path, hint=hint)
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not a data profile: {error}", path=path, hint=hint) from None
    form = profile.get("form") if isinstance(profile, dict) else None
    if form != FORM:
        raise DataError(f"is a data profile of form {form!r}, expected {FORM}.", path=path, hint=hint)
    return dict(profile)
