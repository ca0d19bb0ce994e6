"""What every reader of a publisher's files returns, before anything is cleaned, joined or removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from illmrec.columns import ITEM_ID, RAW_TEXTS, REJECTED, Schema
from illmrec.data.files.coded import CodedInteractions
from illmrec.data.lists import build_lists
from illmrec.errors import DataError

RAW_ITEMS = RAW_TEXTS
"""What readers return of items: texts as published, in file order, an item perhaps more than once."""

PICTURES: Schema = {ITEM_ID: pl.String, "position": pl.Int32, "image_ref": pl.String}
"""Picture files found; ``image_ref`` is relative to the raw folder, ``position`` counts an item's pictures from 0."""

MissingItems = Literal["warn", "refuse"]
Pictures = Literal["frames", "cover"]


@dataclass(frozen=True)
class ReadOptions:
    """What readers can be told; each takes what concerns its publisher.

    Args:
        pictures: MicroLens only: whether a video is shown by its frames or by its cover.
        missing_items: Amazon, Goodbooks and own: whether to go on where the file that describes items is missing.
        min_rating: Goodbooks only: lowest rating that counts as an interaction.
    """

    pictures: Pictures = "frames"
    missing_items: MissingItems = "warn"
    min_rating: int = 1


@dataclass(frozen=True)
class RawCatalog:
    """A publisher's catalog as tables.

    Attributes:
        interactions: in file order, duplicates included.
        items: texts as published (``columns.RAW_TEXTS``), in file order, duplicates included.
        extra_users: ids of users named by a file of users; they may have no interaction.
        pictures: item_id, position among the item's pictures, and file of each picture found.
        rejected: ``columns.REJECTED``, malformed rows.
        rows: data rows of each file read, malformed ones included, by file name.
        counts: further facts worth keeping in the summary.
        warnings: what the publisher's folder lacks and what that means, as sentences.
    """

    interactions: CodedInteractions
    items: pl.DataFrame
    extra_users: pl.Series
    pictures: pl.DataFrame
    rejected: pl.DataFrame
    rows: dict[str, int]
    counts: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def check_rejected(self, folder: Path, max_share: float) -> None:
        """Refuse a catalog of which one file is largely malformed.

        Args:
            folder: the raw folder, for the message.
            max_share: largest share of a file's rows that may be malformed.

        Raises:
            DataError: when more rows of one file were set aside; names the file, the first such row and why it was.
        """
        for file, rows in self.rows.items():
            offenders = self.rejected.filter(pl.col("file") == file)
            if offenders.height <= max_share * rows:
                continue
            first = offenders.row(0, named=True)
            message = (
                f"{offenders.height:,} of {rows:,} rows are malformed ({offenders.height / rows:.1%}, at most "
                f"{max_share:.1%} may be); the first: {first['reason']}."
            )
            hint = "Repair the file, or raise prepare.max_rejected_share; rejected.parquet then lists each such row."
            raise DataError(message, path=folder / file, row=first["row"], hint=hint)


def items_table(rows: Sequence[tuple[str, str | None, str | None, list[str], str | None]]) -> pl.DataFrame:
    """Return :data:`RAW_ITEMS` from (item_id, title, brand, category, description) tuples."""
    ids, titles, brands, categories, descriptions = zip(*rows, strict=True) if rows else [()] * len(RAW_ITEMS)
    texts = {ITEM_ID: ids, "title": titles, "brand": brands, "description": descriptions}
    table = pl.DataFrame({name: pl.Series(values, dtype=pl.String) for name, values in texts.items()})
    offsets = np.cumsum([0, *map(len, categories)], dtype=np.int64)
    names = pl.Series("category", [name for category in categories for name in category], dtype=pl.String)
    return table.with_columns(build_lists(names, offsets)).select(list(RAW_ITEMS))


def rejected_table(rows: Iterable[tuple[str, int, str]] = ()) -> pl.DataFrame:
    """Return ``columns.REJECTED`` from (file, row, reason) triples."""
    return pl.DataFrame(list(rows), schema=REJECTED, orient="row")


def find_one(folder: Path, patterns: Sequence[str], what: str, *, other_than: str = "") -> Path:
    """Return the only file of the first pattern that matches any.

    Args:
        folder: where to look.
        patterns: file name patterns, the preferred one first.
        what: what the file is, for the message.
        other_than: pattern of names to leave out.

    Raises:
        DataError: when no pattern matches, or the first that does matches several files.
    """
    for pattern in patterns:
        candidates = (path for path in folder.glob(pattern) if path.is_file() and not path.match(other_than or "/"))
        found = sorted(candidates)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            hint = "Keep one of them in the folder."
            raise DataError(f"holds several files that could be the {what}: {names}.", path=folder, hint=hint)
    present = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise DataError(
        f"holds no {what}: expected {' or '.join(patterns)}, found {present}.",
        path=folder,
        hint="Put the publisher's file there, or make a small catalog with `illmrec sample`.",
    )


def report_missing_items(path: Path, policy: MissingItems, lost: str) -> tuple[str, ...]:
    """Return the warning that a file of items is missing, or refuse to go on without it.

    Args:
        path: where the file was looked for.
        policy: whether items may go without texts.
        lost: what every item goes without.

    Raises:
        DataError: when ``policy`` is ``refuse``.
    """
    if policy == "refuse":
        hint = "Put the file there, or set prepare.missing_metadata to warn: items are then known by their ids alone."
        raise DataError(f"is missing; without it every item goes without {lost}.", path=path, hint=hint)
    return (f"{path} is missing: every item goes without {lost}. Put it there and run `illmrec prepare` again.",)
