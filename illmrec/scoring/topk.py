"""Exact top-k over the whole catalog: blocked matrix products in ONNX Runtime, already seen items left out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from illmrec.data.histories import Ragged
from illmrec.scoring.head import open_session

Scores = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

NONE = -1
"""Item index in places where a user has fewer than k unseen items."""


class ExactSearch:
    """Top-k by dot product.

    The catalog is cut into blocks, so memory is users x items of one block, whatever the sizes; time grows with
    users x items x width.

    Args:
        items: ``float32 [n_items, d]``: projected items.
        block_items: items per block.
        block_users: users per block.
    """

    def __init__(self, items: Scores, *, block_items: int = 10_000, block_users: int = 1024) -> None:
        self._items = items
        self._block_items, self._block_users = block_items, block_users
        self._session = open_session(_build_graph(items.shape[1]))

    def search(self, users: Scores, seen: Ragged, k: int) -> tuple[Indices, Scores]:
        """Return the k best unseen items per user and their scores, best first; ties by item index.

        Args:
            users: ``float32 [n, d]``: projected users.
            seen: per user the item indices to leave out.
            k: items per user.

        Returns:
            ``int64 [n, k]`` with :data:`NONE` where nothing is left, and ``float32 [n, k]`` with ``-inf`` there.
        """
        indices = np.full((len(users), k), NONE, dtype=np.int64)
        scores = np.full((len(users), k), -np.inf, dtype=np.float32)
        for start in range(0, len(users), self._block_users):
            rows = slice(start, min(start + self._block_users, len(users)))
            indices[rows], scores[rows] = self._search_block(users[rows], seen, start, k)
        return indices, scores

    def _search_block(self, users: Scores, seen: Ragged, first: int, k: int) -> tuple[Indices, Scores]:
        rows, columns = list_excluded(seen, first, first + len(users))
        best_indices = np.full((len(users), 0), NONE, dtype=np.int64)
        best_scores = np.zeros((len(users), 0), dtype=np.float32)
        for start in range(0, len(self._items), self._block_items):
            block = self._items[start : start + self._block_items]
            inside = (columns >= start) & (columns < start + len(block))
            excluded = np.stack([rows[inside], columns[inside] - start], axis=1)
            found, places = self._session.run(
                None,
                {
                    "users": users,
                    "items": block,
                    "excluded": excluded,
                    "floor": np.full(len(excluded), -np.inf, dtype=np.float32),
                    "k": np.array([min(k, len(block))], dtype=np.int64),
                },
            )
            best_indices = np.concatenate([best_indices, places + start], axis=1)
            best_scores = np.concatenate([best_scores, found], axis=1)
            best_indices, best_scores = _keep_best(best_indices, best_scores, k)
        best_indices[np.isneginf(best_scores)] = NONE
        return pad_columns(best_indices, best_scores, k)


def list_excluded(seen: Ragged, first: int, last: int) -> tuple[Indices, Indices]:
    """Return row, counted from ``first``, and item index of everything that users ``first`` to ``last`` have seen."""
    rows = np.repeat(np.arange(last - first), seen.lengths[first:last])
    return rows, seen.values[seen.offsets[first] : seen.offsets[last]].astype(np.int64)


def pad_columns(indices: Indices, scores: Scores, k: int) -> tuple[Indices, Scores]:
    """Fill rows of fewer than k places up with :data:`NONE` and ``-inf``."""
    missing = ((0, 0), (0, max(0, k - scores.shape[1])))
    return np.pad(indices, missing, constant_values=NONE), np.pad(scores, missing, constant_values=-np.inf)


def _keep_best(indices: Indices, scores: Scores, k: int) -> tuple[Indices, Scores]:
    """Return the k best of a few candidates per row; earlier columns, which are lower indices, win ties."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(scores, order, axis=1)


def _build_graph(width: int) -> bytes:
    """Return the graph: users x items, excluded places set to -inf, the k largest per row."""
    float32, int64 = TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("Transpose", ["items"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["users", "columns"], ["scores"]),
        helper.make_node("ScatterND", ["scores", "excluded", "floor"], ["allowed"]),
        helper.make_node("TopK", ["allowed", "k"], ["best", "places"], axis=1, largest=1, sorted=1),
    ]
    inputs = [
        helper.make_tensor_value_info("users", float32, ["n_users", width]),
        helper.make_tensor_value_info("items", float32, ["n_items", width]),
        helper.make_tensor_value_info("excluded", int64, ["n_excluded", 2]),
        helper.make_tensor_value_info("floor", float32, ["n_excluded"]),
        helper.make_tensor_value_info("k", int64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("best", float32, ["n_users", "n_best"]),
        helper.make_tensor_value_info("places", int64, ["n_users", "n_best"]),
    ]
    graph = helper.make_graph(nodes, "exact_search", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
