from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from illmrec.features.cache import FeatureCache

WIDTH = 3


def open_cache(folder: Path, encoder: str = "siglip", revision: str = "r1") -> FeatureCache:
    return FeatureCache(folder, encoder, revision, WIDTH)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, WIDTH)).astype(np.float32)


def test_what_is_missing_comes_once_and_in_its_first_order(tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        assert cache.missing(["b", "a", "b", "c", "a"]) == ["b", "a", "c"]
        cache.store(["a"], vectors(1))
        assert cache.missing(iter(["b", "a", "b", "c"])) == ["b", "c"]
        assert cache.missing([]) == []


def test_vectors_come_back_bit_for_bit_in_the_order_asked(tmp_path: Path) -> None:
    kept = vectors(4)
    with open_cache(tmp_path) as cache:
        cache.store(["a", "b", "c", "d"], kept)
        assert np.array_equal(cache.load(["d", "a", "d", "c"]), kept[[3, 0, 3, 2]])
        assert cache.load([]).shape == (0, WIDTH)


def test_vectors_survive_closing(tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        cache.store(["a"], vectors(1))
    with open_cache(tmp_path) as cache:
        assert cache.missing(["a"]) == []
        assert np.array_equal(cache.load(["a"]), vectors(1))


def test_encoders_revisions_and_widths_are_kept_apart(tmp_path: Path) -> None:
    with open_cache(tmp_path) as cache:
        cache.store(["a"], vectors(1))
    others = [
        open_cache(tmp_path, "clip"),
        open_cache(tmp_path, revision="r2"),
        FeatureCache(tmp_path, "siglip", "r1", 4),
    ]
    for other in others:
        with other as cache:
            assert cache.missing(["a"]) == ["a"]
    assert len({other.path for other in others}) == 3


def test_thousands_of_contents_in_one_call(tmp_path: Path) -> None:
    names = [f"{number:064x}" for number in range(2300)]
    kept = vectors(len(names))
    with open_cache(tmp_path) as cache:
        cache.store(names, kept)
        assert cache.missing([*names, "new"]) == ["new"]
        assert np.array_equal(cache.load(names[::-1]), kept[::-1])


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    class BreaksOff:
        def tobytes(self) -> bytes:
            raise OSError("the disk is full")

    with open_cache(tmp_path) as cache:
        cache.store(["a", "b"], vectors(2))
        with pytest.raises(OSError, match="full"):
            cache.store(["c", "d"], [vectors(1)[0], BreaksOff()])
        with pytest.raises(ValueError, match="shorter"):
            cache.store(["c", "d"], vectors(1))
        cache._connection.execute("CREATE TRIGGER stop BEFORE INSERT ON vectors WHEN NEW.content = 'd' "
                                  "BEGIN SELECT RAISE(ABORT, 'no'); END")  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError):
            cache.store(["c", "d"], vectors(2))
        assert cache.missing(["a", "b", "c", "d"]) == ["c", "d"]


def test_two_writers_share_the_file(tmp_path: Path) -> None:
    with open_cache(tmp_path) as first, open_cache(tmp_path) as second:
        first.store(["a"], vectors(1))
        second.store(["b"], vectors(1, seed=1))
        assert first.missing(["a", "b"]) == second.missing(["a", "b"]) == []
