"""The fast model of the two-stage mode: it proposes items, I-LLMRec puts them in order (as the paper re-ranks 100)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, pack_rows
from illmrec.errors import ModelError
from illmrec.models.sasrec import SasRec
from illmrec.scoring.offer import Offer
from illmrec.scoring.rows import Propose
from illmrec.scoring.topk import ExactSearch
from pipelines.assembly.recommender import load_sasrec
from pipelines.project.shelf import Shelf


def open_proposer(
    shelf: Shelf, how: Literal["all", "sasrec", "popularity"], offer: Offer, popularity: npt.NDArray[np.int64]
) -> Propose | None:
    """Return the fast model, loaded once; None where the whole offer is searched.

    It takes histories of users with a known item, and how many items each of them gets. It returns
    ``int64 [n, count]``: unseen items, as positions in the offer, which has the catalog's order; -1 where the catalog
    cannot fill a place.

    Args:
        shelf: today's catalog, and SASRec.
        how: the fast model.
        offer: what may be recommended.
        popularity: ``int64 [n_items]``: known interactions.

    Raises:
        ModelError: when SASRec was trained on other items.
    """
    if how == "all":
        return None
    return _propose_popular(offer, popularity) if how == "popularity" else _propose_by_sasrec(shelf, offer)


def _propose_popular(offer: Offer, popularity: npt.NDArray[np.int64]) -> Propose:
    # One coordinate a side makes the exact search an ordering by popularity, with ties by item index.
    search = ExactSearch(offer.choose(popularity).astype(np.float32)[:, None])

    def propose(seen: Ragged, count: int) -> npt.NDArray[np.int64]:
        users = np.ones((len(seen), 1), dtype=np.float32)
        return search.search(users, offer.narrow(seen), count)[0]

    return propose


def _propose_by_sasrec(shelf: Shelf, offer: Offer) -> Propose:
    """Return SASRec; it proposes the items that it was trained on, which must be the first of the catalog."""
    sasrec = _load_sasrec(shelf)
    n_known = sasrec.items.num_embeddings - 1
    proposed = Offer(offer.allowed[:n_known])
    search = ExactSearch(proposed.choose(sasrec.represent_items()))

    def propose(seen: Ragged, count: int) -> npt.NDArray[np.int64]:
        known = [row[row < n_known] for row in (seen[user] for user in range(len(seen)))]
        return search.search(sasrec.represent_users(known), proposed.narrow(pack_rows(known)), count)[0]

    return propose


def _load_sasrec(shelf: Shelf) -> SasRec:
    sasrec, state = load_sasrec(shelf)
    n_known = state["shape"]["n_items"]
    if Catalog(shelf.catalog.items.head(n_known)).digest != state["item_digest"]:
        dataset = shelf.layout.dataset
        hint = f"Run `illmrec train-cf --dataset {dataset}`, or set recommend.candidates to popularity or all."
        raise ModelError("SASRec was trained on other items than the catalog begins with.", hint=hint)
    return sasrec
