"""Which search goes through the catalog, and the optional one by FAISS."""

from __future__ import annotations

import importlib
from typing import Any, Literal, Protocol

import numpy as np

from illmrec.data.histories import Ragged
from illmrec.errors import ParameterError
from illmrec.scoring.coarse import CoarseSearch
from illmrec.scoring.processor import multiplies_int8
from illmrec.scoring.rerank import rerank
from illmrec.scoring.topk import NONE, ExactSearch, Indices, Scores

SearchName = Literal["exact", "coarse", "faiss"]


class Search(Protocol):
    """Top-k by dot product over one catalog."""

    def search(self, users: Scores, seen: Ragged, k: int) -> tuple[Indices, Scores]:
        """Return ``int64 [n, k]`` and ``float32 [n, k]``: each user's k best unseen items and their scores, best first.

        Where a user has fewer, -1 and ``-inf`` stand. Equal scores are in the order of item indices.

        Args:
            users: ``float32 [n, d]``: user vectors.
            seen: per user the item indices to leave out.
            k: items per user.
        """


def choose_search(wanted: str, n_items: int, coarse_from: int, *, native: bool | None = None) -> SearchName:
    """Return the search that ``auto`` stands for; any other name stands for itself.

    Args:
        wanted: auto, exact, coarse or faiss.
        n_items: size of the catalog.
        coarse_from: size from which the coarse search is worth its second pass.
        native: whether the processor multiplies 8-bit numbers by itself; None to look.
    """
    if wanted == "auto":
        able = multiplies_int8() if native is None else native
        return "coarse" if able and n_items >= coarse_from else "exact"
    names: dict[str, SearchName] = {"exact": "exact", "coarse": "coarse", "faiss": "faiss"}
    return names[wanted]


def open_search(
    name: SearchName, items: Scores, *, factor: int = 2, block_items: int = 10_000, block_users: int = 1024
) -> Search:
    """Return a search for the best unseen items of a catalog, by dot product.

    Args:
        name: ``exact`` multiplies all with all; ``coarse`` chooses candidates by 8-bit products and scores
            these exactly; ``faiss`` takes FAISS's flat index.
        items: ``float32 [n_items, d]``: item vectors, such as those of :meth:`illmrec.Head.project_items`.
        factor: coarse only: candidates per place.
        block_items: items per block.
        block_users: users per block.

    Raises:
        ParameterError: when FAISS is asked for and not installed.

    Example:
        >>> sequences = illmrec.read_sequences(pl.read_parquet("artifacts/shop/split/sequences.parquet"))
        >>> users, items = np.ones((3, 1), np.float32), np.array([[4], [3], [2], [1]], np.float32)
        >>> best, scores = illmrec.open_search("exact", items).search(users, sequences.histories("test"), k=2)
        >>> best.tolist()  # -1 where nothing unseen is left
        [[3, -1], [0, 2], [1, 3]]
    """
    if name == "coarse":
        return CoarseSearch(items, factor=factor, block_items=block_items, block_users=block_users)
    if name == "faiss":
        return FaissSearch(items, block_users=block_users)
    return ExactSearch(items, block_items=block_items, block_users=block_users)


class FaissSearch:
    """Top-k through FAISS's flat inner-product index: exact, with FAISS's own kernels.

    The index knows nothing of what a user has seen, so it is asked for that many more, and scores are computed again
    for what is left.

    Args:
        items: ``float32 [n_items, d]``: projected items.
        block_users: users per call.

    Raises:
        ParameterError: when FAISS is not installed.
    """

    def __init__(self, items: Scores, *, block_users: int = 1024) -> None:
        try:
            faiss: Any = importlib.import_module("faiss")
        except ImportError as error:
            hint = 'Install the extra: pip install -c constraints.txt "illmrec[faiss]"; or use search: auto.'
            raise ParameterError(f"search `faiss` needs FAISS, which is not installed ({error}).", hint=hint) from None
        self._items, self._block_users = items, block_users
        self._index = faiss.IndexFlatIP(items.shape[1])
        self._index.add(np.ascontiguousarray(items))

    def search(self, users: Scores, seen: Ragged, k: int) -> tuple[Indices, Scores]:
        """Return the k best unseen items per user and their scores; see :meth:`ExactSearch.search`."""
        indices = np.full((len(users), k), NONE, dtype=np.int64)
        scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        # Users who have seen about as much are asked together, or one long history would be paid for by all.
        order = np.argsort(seen.lengths, kind="stable")
        for start in range(0, len(users), self._block_users):
            rows = order[start : start + self._block_users]
            known = seen.take(rows)
            wanted = min(k + int(known.lengths.max(initial=0)), len(self._items))
            _, found = self._index.search(np.ascontiguousarray(users[rows]), wanted)
            indices[rows], scores[rows] = self._leave_out(users[rows], found, known, k)
        return indices, scores

    def _leave_out(self, users: Scores, found: Indices, known: Ragged, k: int) -> tuple[Indices, Scores]:
        width = len(self._items)
        owner = np.repeat(np.arange(len(users)), known.lengths)
        pairs = np.unique(owner * width + known.values)
        flat = np.arange(len(users))[:, None] * width + found
        kept = np.where(np.isin(flat, pairs), NONE, found)
        return rerank(users, self._items, kept, k)
