"""Ranks of the test targets that travel with a version, so that two versions can be compared user by user.

One row per target: ``user_key`` (the beginning of a sha256 of the user's id, which tells users apart without naming
them), ``item_id``, ``rank`` in the full catalog, ``unseen``: no training interaction has the item,
``popularity_rank``: the rank in a list of the most popular items (null where nobody ranked by it).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, ITEM_INDEX, USER_INDEX
from illmrec.errors import ModelError
from pipelines.project.shelf import Shelf
from pipelines.registry.version_files import VersionFiles

RANKS_FILE, RANKS_TAG = "ranks.parquet", "ranks_sha256"
OURS, POPULAR = "illmrec_full", "popularity_full"
USER_KEY, RANK, UNSEEN, POPULARITY_RANK = "user_key", "rank", "unseen", "popularity_rank"
SCHEMA = {
    USER_KEY: pl.String,
    ITEM_ID: pl.String,
    RANK: pl.Float64,
    UNSEEN: pl.Boolean,
    POPULARITY_RANK: pl.Float64,
}


def build_ranks(shelf: Shelf) -> pl.DataFrame:
    """Return the ranks that ``evaluate`` wrote, with ids in place of indices.

    Raises:
        MissingArtifactError: when a stage has not run.
        ModelError: when the ranks lack the model's own, or popularity's.
    """
    path = shelf.layout.evaluation / "ranks.parquet"
    table = shelf.read_table(path)
    missing = [name for name in (USER_INDEX, ITEM_INDEX, OURS, POPULAR) if name not in table.columns]
    if missing:
        hint = f"Run `illmrec {shelf.name_maker(path)}` again."
        raise ModelError(f"the ranks lack {', '.join(missing)}.", path=path, hint=hint)
    users, items = table[USER_INDEX].to_numpy(), table[ITEM_INDEX].to_numpy()
    return tabulate(shelf, users, items, table[OURS].to_numpy(), table[POPULAR].to_numpy())


def tabulate(
    shelf: Shelf,
    users: npt.NDArray[np.integer],
    items: npt.NDArray[np.integer],
    ranks: npt.NDArray[np.float64],
    popular: npt.NDArray[np.float64] | None = None,
) -> pl.DataFrame:
    """Return rows of :data:`SCHEMA`.

    Args:
        shelf: of the data set that the indices are of.
        users: ``int [c]``: user_index of each target.
        items: ``int [c]``: item_index of each target.
        ranks: ``float64 [c]``.
        popular: ``float64 [c]``: the same of popularity; None where it was not asked.
    """
    catalog, sequences = shelf.catalog, shelf.sequences
    seen = np.bincount(sequences.train.values, minlength=len(catalog)) > 0
    ids = sequences.user_ids
    table = pl.DataFrame(
        {
            USER_KEY: [key_user(ids[user]) for user in users.tolist()],
            ITEM_ID: [catalog.item_ids[item] for item in items.tolist()],
            RANK: ranks,
            UNSEEN: ~seen[items],
            POPULARITY_RANK: None if popular is None else pl.Series(popular),
        },
        schema=SCHEMA,
    )
    return table.sort(USER_KEY, ITEM_ID)


def key_user(user_id: str) -> str:
    """Return what stands for a user."""
    return hashlib.sha256(user_id.encode()).hexdigest()[:20]


def find_ranks(files: VersionFiles) -> pl.DataFrame | None:
    """Return the ranks of a version; None where it was registered without.

    Raises:
        ModelError: when the file is not readable or not of this form.
    """
    path = files.find(RANKS_FILE)
    return read_ranks(path) if path else None


def read_ranks(path: Path) -> pl.DataFrame:
    """Read ranks of a version; those written before popularity's were kept have null there.

    Raises:
        ModelError: when the file is not readable or not of this form.
    """
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"cannot be read: {first}.", path=path, hint="Register again.") from None
    if POPULARITY_RANK not in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.Float64).alias(POPULARITY_RANK))
    if dict(table.schema) != SCHEMA:
        raise ModelError(f"has the columns {dict(table.schema)}, expected {SCHEMA}.", path=path, hint="Register again.")
    return table


def digest_split(shelf: Shelf) -> str:
    """Return a digest of histories, test targets and catalog: ranks under the same one were won in the same contest."""
    files = [shelf.require(shelf.layout.split / f"{name}.parquet") for name in ("sequences", "targets")]
    parts = [shelf.catalog.digest, *(shelf.digest(path) for path in files)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
