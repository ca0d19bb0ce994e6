"""From represented users to rows: search, each type's part of a score, reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.config import RecommendConfig
from illmrec.scoring.audit import MODEL
from illmrec.scoring.output import RECOMMENDATIONS
from pipelines.jobs.night.audience import Audience

if TYPE_CHECKING:
    from illmrec.data.catalog import Catalog
    from illmrec.data.histories import Ragged

REASON_COLD = "cold_user_popularity"
"""Reason of rows for users none of whose items is in the catalog: the most popular items."""

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]
Propose = Callable[["Ragged", int], IndexArray]
"""Histories and a number of items to candidates of a fast model."""


@dataclass(frozen=True)
class Sides:
    """Users and items in the recommendation space.

    Args:
        users: ``float32 [n_warm, F * d]``: the users with a known item, in the audience's order.
        items: ``float32 [n_items, F * d]``.
        kinds: feature types, in the order of the slices.
    """

    users: FloatArray
    items: FloatArray
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Marks:
    """What rows say of their items and of the model.

    Args:
        image_fallback: ``bool [n_items]``: no readable picture.
        new_item: ``bool [n_items]``: no CF vector of its own; None for a model without CF vectors.
        version: name and version of the model.
    """

    image_fallback: npt.NDArray[np.bool_]
    new_item: npt.NDArray[np.bool_] | None
    version: str


def make_table(
    config: RecommendConfig, audience: Audience, catalog: Catalog, sides: Sides, marks: Marks, propose: Propose | None
) -> pl.DataFrame:
    """Return the rows of :data:`illmrec.scoring.output.RECOMMENDATIONS` for everybody, sorted by user and rank.

    Args:
        config: how to search, and how many items.
        audience: whom for.
        catalog: item ids.
        sides: what to search with.
        marks: what to say of items and model.
        propose: the fast model of the two-stage mode; None to search the whole catalog.
    """
    seen = audience.histories.take(audience.warm)
    best, scores = find_best(config, sides, seen, propose)
    shares = split_shares(sides, best)
    warm = _make_rows(audience, catalog, audience.warm, best, scores, shares, MODEL)
    top = np.argsort(-audience.popularity, kind="stable")[: config.k]
    counts = audience.popularity[top].astype(np.float32)
    tiled = np.tile(top, (len(audience.cold), 1)), np.tile(counts, (len(audience.cold), 1))
    cold = _make_rows(audience, catalog, audience.cold, *tiled, {}, REASON_COLD)
    return _mark_rows(pl.concat([warm, cold]), marks)


def find_best(
    config: RecommendConfig, sides: Sides, seen: Ragged, propose: Propose | None
) -> tuple[IndexArray, FloatArray]:
    """Return ``int64 [n, k]`` and ``float32 [n, k]``: the best unseen items, -1 and -inf where there are fewer."""
    from illmrec.scoring.rerank import rerank
    from illmrec.scoring.search import choose_search, open_search

    if propose is not None:
        return rerank(sides.users, sides.items, propose(seen, config.rerank), config.k)
    search = open_search(
        choose_search(config.search, len(sides.items), config.coarse_from_items),
        sides.items,
        factor=config.coarse_factor,
        block_items=config.score_block_items,
        block_users=config.score_block_users,
    )
    return search.search(sides.users, seen, config.k)


def split_shares(sides: Sides, best: IndexArray) -> dict[str, FloatArray]:
    """Return ``float32 [n, k]`` per feature type: its exact part of each score (paper, 3.4: the score is a sum)."""
    width = sides.users.shape[1] // len(sides.kinds)
    shares = {kind: np.empty(best.shape, dtype=np.float32) for kind in sides.kinds}
    for place in range(best.shape[1]):
        chosen = sides.items[best[:, place]]
        for number, kind in enumerate(sides.kinds):
            part = slice(number * width, (number + 1) * width)
            shares[kind][:, place] = np.einsum("nd,nd->n", sides.users[:, part], chosen[:, part])
    return shares


def _make_rows(
    audience: Audience,
    catalog: Catalog,
    chosen: IndexArray,
    best: IndexArray,
    scores: FloatArray,
    shares: dict[str, FloatArray],
    reason: str,
) -> pl.DataFrame:
    n, k = best.shape
    user_ids = pl.Series(audience.user_ids, dtype=pl.String).gather(np.repeat(chosen, k))
    columns = {
        USER_ID: user_ids,
        "rank": np.tile(np.arange(1, k + 1, dtype=np.int32), n),
        "item_index": best.reshape(-1).astype(np.int64),
        "score": scores.reshape(-1).astype(np.float32),
    }
    table = pl.DataFrame(columns)
    for kind in ("image", "cf", "text"):
        values = pl.Series(shares[kind].reshape(-1)) if kind in shares else pl.lit(None, dtype=pl.Float32)
        table = table.with_columns(values.alias(f"share_{kind}"))
    table = table.filter(pl.col("item_index") >= 0)
    item_ids = catalog.items[ITEM_ID].gather(table["item_index"])
    return table.with_columns(item_ids.alias(ITEM_ID), pl.lit(reason).alias("reason"))


def _mark_rows(table: pl.DataFrame, marks: Marks) -> pl.DataFrame:
    """Add what depends on the item or the model and bring rows and columns into their order."""
    new = pl.lit(None, dtype=pl.Boolean)
    marked = table.with_columns(
        pl.Series(marks.image_fallback).gather(table["item_index"]).alias("image_fallback"),
        new.alias("new_item")
        if marks.new_item is None
        else pl.Series(marks.new_item).gather(table["item_index"]).alias("new_item"),
        pl.lit(marks.version).alias("model_version"),
    )
    return marked.select(list(RECOMMENDATIONS)).cast(RECOMMENDATIONS).sort(USER_ID, "rank")
