"""Candidates that somebody else names: each user's targets are ranked among these alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, sort_distinct
from illmrec.errors import DataError
from illmrec.evaluation.protocol import Cases

ENDINGS = (".csv", ".csv.gz", ".parquet")
NAMES = (USER_ID, ITEM_ID)


@dataclass(frozen=True)
class GivenCandidates:
    """What a file says about the users of an evaluation.

    Args:
        pool: per user of the cases the candidates beside the targets, ascending.
        named: ``bool [n]``: users of the cases that the file names a candidate for; others cannot be ranked so.
        counts: rows that were used, and rows that were not, by reason.
    """

    pool: Ragged
    named: npt.NDArray[np.bool_]
    counts: dict[str, int]


def read_candidates(path: Path, cases: Cases, user_ids: list[str], catalog: Catalog) -> GivenCandidates:
    """Read a table with the columns user_id and item_id; others are ignored.

    A row that names an unknown user or item, a user without a test target, an item of the user's history or a row that
    stood there before is left out and counted. A target need not stand in the file: it is ranked among what does.

    Args:
        path: ``.csv``, ``.csv.gz`` (UTF-8, the first line names the columns) or ``.parquet``.
        cases: whom to rank for.
        user_ids: external ids; position = user_index.
        catalog: turns item ids into indices.

    Raises:
        DataError: when there is no such file, it cannot be read, lacks a column, has a row without an id, or names no
            candidate for any user with a target.
    """
    table = _read_table(path)
    empty = table.with_row_index("row", offset=1).filter(pl.any_horizontal(pl.col(NAMES).fill_null("") == ""))
    if empty.height:
        hint = "Give the row both ids, or remove it."
        raise DataError("lacks user_id or item_id.", path=path, row=int(empty["row"][0]), hint=hint)
    places = pl.Series(range(len(user_ids)), dtype=pl.Int64)
    users = table[USER_ID].replace_strict(pl.Series(user_ids), places, default=-1, return_dtype=pl.Int64).to_numpy()
    items = catalog.index_items(table[ITEM_ID]).astype(np.int64)
    position = np.full(len(user_ids) + 1, -1, dtype=np.int64)
    position[cases.users] = np.arange(len(cases))
    owners = np.where(users >= 0, position[users], -1)
    pairs = owners * len(catalog) + items
    usable = (owners >= 0) & (items >= 0)
    distinct = sort_distinct(pairs[usable])
    targets = _pair(cases.targets, len(catalog))
    seen = np.isin(distinct, _pair(cases.histories, len(catalog))) & ~np.isin(distinct, targets)
    rivals = distinct[~seen & ~np.isin(distinct, targets)]
    offsets = np.searchsorted(rivals, np.arange(len(cases) + 1) * len(catalog))
    pool = Ragged((rivals % len(catalog)).astype(np.int32), offsets.astype(np.int64))
    named = pool.lengths > 0
    if not named.any():
        hint = "Its ids must be those of the raw files; check evaluate.candidates."
        raise DataError("names no candidate for any user with a test target.", path=path, hint=hint)
    counts = {
        "rows": table.height,
        "rows_of_unknown_users": int((users < 0).sum()),
        "rows_of_unknown_items": int(((users >= 0) & (items < 0)).sum()),
        "rows_of_users_without_target": int(((users >= 0) & (items >= 0) & (owners < 0)).sum()),
        "rows_repeated": int(usable.sum()) - len(distinct),
        "rows_in_history": int(seen.sum()),
        "users": int(named.sum()),
        "users_without_candidates": int((~named).sum()),
        "targets_named": int(np.isin(targets, distinct).sum()),
    }
    return GivenCandidates(pool, named, counts)


def _pair(rows: Ragged, items: int) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(rows)), rows.lengths) * np.int64(items) + rows.values


def _read_table(path: Path) -> pl.DataFrame:
    """Return user_id and item_id as text, null where there is none."""
    if not path.is_file():
        hint = "Put the file there, or correct evaluate.candidates; relative paths start at the project's root."
        raise DataError("there is no file of candidates.", path=path, hint=hint)
    if not path.name.endswith(ENDINGS):
        hint = "Write the table as CSV or Parquet and name that file in evaluate.candidates."
        raise DataError(f"ends in {path.suffix!r}, expected one of {', '.join(ENDINGS)}.", path=path, hint=hint)
    try:
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not readable: {first}.", path=path, hint="Write the file again.") from None
    lacking = [name for name in NAMES if name not in table.columns]
    if lacking:
        found = ", ".join(table.columns)[:200]
        hint = "Name the columns user_id and item_id."
        raise DataError(f"lacks the columns {', '.join(lacking)}; it has {found}.", path=path, hint=hint)
    for name in NAMES:
        kind = table.schema[name]
        if kind != pl.String and not kind.is_integer():
            hint = "Write the column as text."
            raise DataError(f"column {name!r} is {kind}, expected text or whole numbers.", path=path, hint=hint)
    return table.select(pl.col(NAMES).cast(pl.String))
