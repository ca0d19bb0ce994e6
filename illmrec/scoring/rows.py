"""From represented users to rows: search, each type's part of a score, reasons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.scoring.audit import MODEL
from illmrec.scoring.output import RECOMMENDATIONS

if TYPE_CHECKING:
    from illmrec.data.histories import Ragged
    from illmrec.scoring.head import Head
    from illmrec.scoring.offer import Offer

REASON_COLD = "cold_user_popularity"
"""Reason of rows for users none of whose items is in the catalog: the most popular items."""

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]
Propose = Callable[["Ragged", int], IndexArray]
"""Histories, as catalog indices, and a number of items to candidates of a fast model, as positions in the offer."""


@dataclass(frozen=True)
class Sides:
    """Users and items in the recommendation space.

    Args:
        users: ``float32 [n, F * d]``: users with a known item.
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

    def choose(self, offer: Offer) -> Marks:
        """Return the marks of the items on offer."""
        new = None if self.new_item is None else offer.choose(self.new_item)
        return Marks(offer.choose(self.image_fallback), new, self.version)


@dataclass(frozen=True)
class Part:
    """Users of one part of a night's files.

    Args:
        number: of the part.
        warm: ids of those with a known item, in order.
        hidden: ``float32 [n_warm, d_llm]``: what the language model made of their histories.
        seen: per user of ``warm`` the items to leave out.
        cold: ids of the others.
    """

    number: int
    warm: list[str]
    hidden: FloatArray
    seen: Ragged
    cold: list[str]


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Args:
        k: items a user gets.
        rerank: candidates of the fast model, where there is one.
        search: exact, coarse with an exact second look, through an index of faiss, or by the size of the catalog.
        coarse_from_items: size of the catalog from which ``auto`` searches coarsely first.
        coarse_factor: candidates that the coarse search keeps, in multiples of ``k``.
        score_block_users: users scored at a time.
        score_block_items: items scored at a time.
    """

    k: int
    rerank: int
    search: Literal["auto", "exact", "coarse", "faiss"]
    coarse_from_items: int
    coarse_factor: int
    score_block_users: int
    score_block_items: int


@dataclass(frozen=True)
class PartScorer:
    """Turns users into rows, a part at a time.

    The last bits of a score depend on who is multiplied together with whom. A part is always scored by itself, so rows
    are the same wherever that is done.

    Args:
        settings: how to search, and how many items.
        head: projects users.
        offer: the items that may be recommended; all that follows has a row for each of them and for no other.
        items: ``float32 [m, F * d]``: projected items.
        item_ids: their ids.
        popularity: ``int64 [m]``: known interactions.
        marks: what to say of items and model.
        propose: the fast model of the two-stage mode; None to search the whole offer.
    """

    settings: SearchSettings
    head: Head
    offer: Offer
    items: FloatArray
    item_ids: pl.Series
    popularity: IndexArray
    marks: Marks
    propose: Propose | None

    def score(self, part: Part) -> pl.DataFrame:
        """Return rows of :data:`illmrec.scoring.output.RECOMMENDATIONS` for a part, sorted by user and rank."""
        sides = Sides(self.head.project_users(part.hidden), self.items, self.head.kinds)
        candidates = None if self.propose is None else self.propose(part.seen, self.settings.rerank)
        best, scores = find_best(self.settings, sides, self.offer.narrow(part.seen), candidates)
        warm = _make_rows(part.warm, self.item_ids, best, scores, split_shares(sides, best), MODEL)
        top = np.argsort(-self.popularity, kind="stable")[: self.settings.k]
        counts = self.popularity[top].astype(np.float32)
        tiled = np.tile(top, (len(part.cold), 1)), np.tile(counts, (len(part.cold), 1))
        cold = _make_rows(part.cold, self.item_ids, *tiled, {}, REASON_COLD)
        return _mark_rows(pl.concat([warm, cold]), self.marks)


def find_best(
    settings: SearchSettings, sides: Sides, seen: Ragged, candidates: IndexArray | None
) -> tuple[IndexArray, FloatArray]:
    """Return ``int64 [n, k]`` and ``float32 [n, k]``: the best unseen items, -1 and -inf where there are fewer.

    Args:
        settings: how to search.
        sides: users and items.
        seen: per user the rows of ``sides.items`` to leave out.
        candidates: ``int64 [n, c]``: unseen ones to choose among; None for all.
    """
    from illmrec.scoring.rerank import rerank
    from illmrec.scoring.search import choose_search, open_search

    if candidates is not None:
        return rerank(sides.users, sides.items, candidates, settings.k)
    search = open_search(
        choose_search(settings.search, len(sides.items), settings.coarse_from_items),
        sides.items,
        factor=settings.coarse_factor,
        block_items=settings.score_block_items,
        block_users=settings.score_block_users,
    )
    return search.search(sides.users, seen, settings.k)


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
    users: list[str],
    items: pl.Series,
    best: IndexArray,
    scores: FloatArray,
    shares: dict[str, FloatArray],
    reason: str,
) -> pl.DataFrame:
    n, k = best.shape
    user_ids = pl.Series(users, dtype=pl.String).gather(np.repeat(np.arange(n), k))
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
    item_ids = items.gather(table["item_index"])
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
    return marked.select(list(RECOMMENDATIONS)).cast(pl.Schema(RECOMMENDATIONS)).sort(USER_ID, "rank")
