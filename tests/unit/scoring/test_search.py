"""Searches against a loop that sorts all scores."""

import importlib
from typing import Any

import numpy as np
import pytest

from illmrec.data.histories import Ragged, pack_rows
from illmrec.errors import ParameterError
from illmrec.scoring import coarse, search
from illmrec.scoring.coarse import CoarseSearch, quantise
from illmrec.scoring.processor import multiplies_bf16, multiplies_int8, read_flags
from illmrec.scoring.rerank import rerank
from illmrec.scoring.search import choose_search, open_search
from illmrec.scoring.topk import NONE, ExactSearch

N_ITEMS, WIDTH, K = 700, 24, 10


def draw(users: int = 40, n_items: int = N_ITEMS) -> tuple[Any, Any, Ragged]:
    rng = np.random.default_rng(1)
    seen = pack_rows([rng.choice(n_items, min(int(rng.integers(0, 30)), n_items), replace=False) for _ in range(users)])
    vectors = [rng.standard_normal((count, WIDTH)).astype(np.float32) for count in (users, n_items)]
    return vectors[0], vectors[1], seen


def sort_all(users: Any, items: Any, seen: Ragged, k: int) -> list[list[int]]:
    best = []
    for user, vector in enumerate(users):
        scores = [(-float(np.dot(vector.astype(np.float64), item)), place) for place, item in enumerate(items)]
        known = set(seen[user].tolist())
        best.append([place for _, place in sorted(scores) if place not in known][:k])
    return best


@pytest.mark.parametrize("name", ["exact", "coarse"])
def test_a_search_finds_the_best_unseen_items_in_order(name: Any) -> None:
    users, items, seen = draw()
    expected = sort_all(users, items, seen, K)
    found, scores = open_search(name, items, block_items=97, block_users=7).search(users, seen, K)
    assert found.tolist() == expected
    assert np.allclose(scores, np.take_along_axis(users @ items.T, found, axis=1), atol=1e-5)


@pytest.mark.parametrize("native", [True, False])
def test_coarse_products_come_close_with_seven_bits_too(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "multiplies_int8", lambda: native)
    users, items, seen = draw(users=200)
    found, _ = CoarseSearch(items, factor=2).search(users, seen, K)
    assert found.tolist() == sort_all(users, items, seen, K)


def test_without_a_second_look_the_coarse_pass_alone_would_not_do() -> None:
    users, items, seen = draw()
    one = CoarseSearch(items, factor=1)
    candidates = one._find_block(users, seen, 0, K)
    expected = [set(row) for row in sort_all(users, items, seen, K)]
    assert [set(row) for row in candidates.tolist()] != expected, "rounding changes nothing: the test proves nothing"


@pytest.mark.parametrize("name", ["exact", "coarse"])
def test_places_that_cannot_be_filled_say_so(name: Any) -> None:
    users, items, _ = draw(users=2, n_items=4)
    seen = pack_rows([[0, 1, 2], [0, 1, 2, 3]])
    found, scores = open_search(name, items).search(users, seen, 3)
    assert found.tolist() == [[3, NONE, NONE], [NONE] * 3]
    assert np.isfinite(scores).tolist() == [[True, False, False], [False] * 3]


def test_rerank_scores_exactly_what_it_was_given_and_breaks_ties_by_index() -> None:
    users = np.ones((1, 2), np.float32)
    items = np.array([[1, 1], [3, 0], [0, 3], [0, 1]], np.float32)
    found, scores = rerank(users, items, np.array([[3, 2, NONE, 1]]), 3)
    assert found.tolist() == [[1, 2, 3]]
    assert scores.tolist() == [[3.0, 3.0, 1.0]]


def test_quantising_keeps_zero_vectors_and_the_largest_coordinate() -> None:
    codes, scales = quantise(np.array([[0, 0], [-2, 1]], np.float32), 127)
    assert codes.tolist() == [[0, 0], [-127, 64]]
    assert scales[1] == pytest.approx(2 / 127)


def test_auto_is_exact_for_small_catalogs_and_where_the_processor_has_no_8_bit_products() -> None:
    assert choose_search("auto", 10, 100, native=True) == "exact"
    assert choose_search("auto", 100, 100, native=True) == "coarse"
    assert choose_search("auto", 100, 100, native=False) == "exact"
    assert choose_search("coarse", 10, 100, native=False) == "coarse"


def test_flags_are_read_as_linux_writes_them(tmp_path: Any) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\nprocessor\t: 1\n")
    assert multiplies_int8(read_flags(path))
    assert not multiplies_bf16(read_flags(path))
    assert read_flags(tmp_path / "absent") == frozenset()


def test_faiss_finds_the_same() -> None:
    pytest.importorskip("faiss")
    users, items, seen = draw()
    found, scores = open_search("faiss", items, block_users=7).search(users, seen, K)
    exact = ExactSearch(items).search(users, seen, K)
    assert found.tolist() == exact[0].tolist()
    assert np.allclose(scores, exact[1], atol=1e-5)


def test_missing_faiss_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(search.importlib, "import_module", refuse)
    with pytest.raises(ParameterError, match="not installed") as caught:
        open_search("faiss", np.zeros((2, 2), np.float32))
    assert "illmrec[faiss]" in caught.value.hint
    assert importlib is search.importlib
