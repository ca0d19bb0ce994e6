"""ItemKNN: items that the same users took (Sarwar et al., 2001; Deshpande and Karypis, 2004)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from illmrec.data.histories import Ragged

_BLOCK_ITEMS = 2048


def mark_taken(histories: Ragged, n_items: int) -> sparse.csr_array:
    """Return ``float32 [n, n_items]``, sparse: 1 where a row of ``histories`` holds an item, repeats counting once."""
    owners = np.repeat(np.arange(len(histories)), histories.lengths)
    ones = np.ones(len(histories.values), dtype=np.float32)
    taken = sparse.csr_array((ones, (owners, histories.values)), shape=(len(histories), n_items))
    taken.sum_duplicates()
    taken.data[:] = 1.0
    return taken


def measure_similarity(train: Ragged, n_items: int, neighbours: int, shrinkage: float) -> sparse.csr_array:
    """Return ``float32 [n_items, n_items]``, sparse: each item's similarity to its most similar items, 0 elsewhere.

    ``c_ij / (sqrt(c_i c_j) + shrinkage)``: c_i users took item i, c_ij both. Without shrinkage that is the cosine;
    shrinkage lowers similarities that few users speak for. An item is no neighbour of itself.

    Args:
        train: training sequences.
        n_items: size of the catalog.
        neighbours: kept per item, the most similar first; equal ones in the order of item indices.
        shrinkage: users, at least 0.
    """
    taken = mark_taken(train, n_items).tocsc()
    counts = np.asarray(taken.sum(axis=0), dtype=np.float32)
    blocks = [
        _keep_nearest(taken[:, start : start + _BLOCK_ITEMS].T @ taken, start, counts, neighbours, shrinkage)
        for start in range(0, n_items, _BLOCK_ITEMS)
    ]
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def _keep_nearest(
    together: sparse.csr_array, first: int, counts: npt.NDArray[np.float32], neighbours: int, shrinkage: float
) -> sparse.coo_array:
    """Return the nearest neighbours of a block of items, ``first`` being the index of the block's first."""
    block = together.tocoo()
    rows, columns = block.coords
    other = rows + first != columns
    rows, columns = rows[other], columns[other]
    similarity = block.data[other] / (np.sqrt(counts[rows + first] * counts[columns]) + np.float32(shrinkage))
    order = np.lexsort((columns, -similarity, rows))
    rows, columns, similarity = rows[order], columns[order], similarity[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < neighbours
    return sparse.coo_array((similarity[kept], (rows[kept], columns[kept])), shape=block.shape)


class ItemKnn:
    """Scores by similarity to everything in a history: ``s(u, i) = sum over j in the history of sim(j, i)``.

    Args:
        similarity: of :func:`measure_similarity`.
        histories: what is known of each user; row = user_index.
    """

    def __init__(self, similarity: sparse.csr_array, histories: Ragged) -> None:
        self._similarity, self._histories = similarity, histories

    def score_users(self, users: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, n_items]`` for user indices ``[n]``."""
        taken = mark_taken(self._histories.take(users), self._similarity.shape[0])
        return np.asarray((taken @ self._similarity).toarray(), dtype=np.float32)
