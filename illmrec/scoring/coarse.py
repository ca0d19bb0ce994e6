"""Top-k over a large catalog: 8-bit products choose candidates, exact products put them in order.

Users and items are rounded to 8 bits, each with a scale of its own, so a coarse score is off by about one percent of a
long vector's length. A few times k candidates are kept and scored again in float32; an item is missed only when that
many others overtake it by rounding.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from illmrec.data.histories import Ragged
from illmrec.scoring.head import open_session
from illmrec.scoring.processor import multiplies_int8
from illmrec.scoring.rerank import rerank
from illmrec.scoring.topk import Indices, Scores, list_excluded, pad_columns

_ZERO = 128
"""What stands for 0 on the user side, which is unsigned."""


class CoarseSearch:
    """Top-k by dot product, nearly exact.

    Args:
        items: ``float32 [n_items, d]``: projected items.
        factor: candidates per place: ``factor * k`` are scored exactly.
        block_items: items per block.
        block_users: users per block.
    """

    def __init__(self, items: Scores, *, factor: int = 2, block_items: int = 10_000, block_users: int = 1024) -> None:
        self._items = items
        self._factor = factor
        self._block_items, self._block_users = block_items, block_users
        # Without instructions of their own, pairs of 8-bit products are added in 16 bits, which 7-bit items never fill.
        codes, self._scales = quantise(items, 127 if multiplies_int8() else 63)
        # Turned once, because the runtime would turn a block again for every block of users.
        starts = range(0, len(items), block_items)
        self._codes = [np.ascontiguousarray(codes[start : start + block_items].T) for start in starts]
        self._session = open_session(_build_graph(items.shape[1]))

    def search(self, users: Scores, seen: Ragged, k: int) -> tuple[Indices, Scores]:
        """Return the k best unseen items per user and their exact scores; see :meth:`ExactSearch.search`."""
        candidates = np.concatenate(
            [
                self._find_block(users[start : start + self._block_users], seen, start, self._factor * k)
                for start in range(0, len(users), self._block_users)
            ]
            or [np.zeros((0, self._factor * k), dtype=np.int64)]
        )
        return rerank(users, self._items, candidates, k)

    def _find_block(self, users: Scores, seen: Ragged, first: int, wanted: int) -> Indices:
        rows, columns = list_excluded(seen, first, first + len(users))
        codes = (quantise(users, 127)[0].astype(np.int16) + _ZERO).astype(np.uint8)
        best_indices = np.zeros((len(users), 0), dtype=np.int64)
        best_scores = np.zeros((len(users), 0), dtype=np.float32)
        for number, start in enumerate(range(0, len(self._items), self._block_items)):
            block = slice(start, min(start + self._block_items, len(self._items)))
            inside = (columns >= block.start) & (columns < block.stop)
            excluded = np.stack([rows[inside], columns[inside] - start], axis=1)
            found, places = self._session.run(
                None,
                {
                    "users": codes,
                    "items": self._codes[number],
                    "scales": self._scales[block],
                    "excluded": excluded,
                    "floor": np.full(len(excluded), -np.inf, dtype=np.float32),
                    "k": np.array([min(wanted, block.stop - start)], dtype=np.int64),
                },
            )
            best_indices = np.concatenate([best_indices, np.where(np.isneginf(found), -1, places + start)], axis=1)
            best_scores = np.concatenate([best_scores, found], axis=1)
            if best_scores.shape[1] > wanted:
                order = np.argpartition(-best_scores, wanted - 1, axis=1)[:, :wanted]
                best_indices = np.take_along_axis(best_indices, order, axis=1)
                best_scores = np.take_along_axis(best_scores, order, axis=1)
        return pad_columns(best_indices, best_scores, wanted)[0]


def quantise(vectors: Scores, largest: int) -> tuple[npt.NDArray[np.int8], Scores]:
    """Return ``int8 [n, d]`` codes in ``[-largest, largest]`` and ``float32 [n]``: what a code of 1 stands for."""
    scales = np.abs(vectors).max(axis=1, initial=0.0) / np.float32(largest)
    safe = np.maximum(scales, np.float32(1e-30))
    return np.rint(vectors / safe[:, None]).astype(np.int8), safe.astype(np.float32)


def _build_graph(width: int) -> bytes:
    """Return the graph: 8-bit users x items, scaled, excluded places set to -inf, the k largest per row."""
    uint8, int8, float32, int64 = TensorProto.UINT8, TensorProto.INT8, TensorProto.FLOAT, TensorProto.INT64
    nodes = [
        helper.make_node("MatMulInteger", ["users", "items", "zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["rough"], to=float32),
        helper.make_node("Mul", ["rough", "scales"], ["scores"]),
        helper.make_node("ScatterND", ["scores", "excluded", "floor"], ["allowed"]),
        helper.make_node("TopK", ["allowed", "k"], ["best", "places"], axis=1, largest=1, sorted=0),
    ]
    inputs = [
        helper.make_tensor_value_info("users", uint8, ["n_users", width]),
        helper.make_tensor_value_info("items", int8, [width, "n_items"]),
        helper.make_tensor_value_info("scales", float32, ["n_items"]),
        helper.make_tensor_value_info("excluded", int64, ["n_excluded", 2]),
        helper.make_tensor_value_info("floor", float32, ["n_excluded"]),
        helper.make_tensor_value_info("k", int64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("best", float32, ["n_users", "n_best"]),
        helper.make_tensor_value_info("places", int64, ["n_users", "n_best"]),
    ]
    zero = helper.make_tensor("zero", uint8, [], [_ZERO])
    graph = helper.make_graph(nodes, "coarse_search", inputs, outputs, initializer=[zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content
