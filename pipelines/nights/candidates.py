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
from illmrec.scoring.topk import ExactSearch
from pipelines.assembly.recommender import load_sasrec
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf


def propose(
    layout: Layout,
    catalog: Catalog,
    offer: Offer,
    popularity: npt.NDArray[np.int64],
    seen: Ragged,
    how: Literal["sasrec", "popularity"],
    count: int,
) -> npt.NDArray[np.int64]:
    """Return ``int64 [n, count]``: unseen items of the offer that a fast model finds best for each user of ``seen``.

    They are positions in the offer, which has the catalog's order.

    Args:
        layout: where SASRec lies.
        catalog: today's items. SASRec proposes those it was trained on, which must be the first of them.
        offer: what may be recommended.
        popularity: ``int64 [n_items]``: known interactions.
        seen: the histories of users with a known item.
        how: the fast model.
        count: items per user; places that the catalog cannot fill are -1.

    Raises:
        ModelError: when SASRec was trained on other items.
    """
    if how == "popularity":
        # One coordinate a side makes the exact search an ordering by popularity, with ties by item index.
        users = np.ones((len(seen), 1), dtype=np.float32)
        items = offer.choose(popularity).astype(np.float32)[:, None]
        return ExactSearch(items).search(users, offer.narrow(seen), count)[0]
    sasrec = _load_sasrec(layout, catalog)
    n_known = sasrec.items.num_embeddings - 1
    known = [row[row < n_known] for row in (seen[user] for user in range(len(seen)))]
    users = sasrec.represent_users(known)
    proposed = Offer(offer.allowed[:n_known])
    items = proposed.choose(sasrec.represent_items())
    return ExactSearch(items).search(users, proposed.narrow(pack_rows(known)), count)[0]


def _load_sasrec(layout: Layout, catalog: Catalog) -> SasRec:
    sasrec, about = load_sasrec(Shelf(layout))
    n_known = about["shape"]["n_items"]
    if Catalog(catalog.items.head(n_known)).digest != about["item_digest"]:
        hint = f"Run `illmrec train-cf --dataset {layout.dataset}`, or set recommend.candidates to popularity or all."
        raise ModelError("SASRec was trained on other items than the catalog begins with.", hint=hint)
    return sasrec
