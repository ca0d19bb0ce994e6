"""Exact scores of a few candidates per user, best first (two-stage recommendation of the paper, and coarse search)."""

from __future__ import annotations

import numpy as np

from illmrec.scoring.topk import NONE, Indices, Scores, pad_columns

_BLOCK_BYTES = 64 << 20
"""Most memory of the candidates' vectors at a time."""


def rerank(users: Scores, items: Scores, candidates: Indices, k: int) -> tuple[Indices, Scores]:
    """Return the k best of each user's candidates and their scores, best first; ties by item index.

    Args:
        users: ``float32 [n, d]``: projected users.
        items: ``float32 [n_items, d]``: projected items.
        candidates: ``int64 [n, c]``: item indices, :data:`~illmrec.scoring.topk.NONE` where there are fewer; no item
            twice for a user.
        k: items per user.

    Returns:
        ``int64 [n, k]`` with ``NONE`` where nothing is left, and ``float32 [n, k]`` with ``-inf`` there.
    """
    ordered = np.sort(candidates, axis=1)
    scores = np.empty(ordered.shape, dtype=np.float32)
    step = max(1, _BLOCK_BYTES // max(1, 4 * ordered.shape[1] * items.shape[1]))
    for start in range(0, len(users), step):
        rows = slice(start, start + step)
        scores[rows] = np.matmul(items[ordered[rows]], users[rows, :, None])[:, :, 0]
    scores[ordered == NONE] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return pad_columns(np.take_along_axis(ordered, order, axis=1), np.take_along_axis(scores, order, axis=1), k)
