"""The store of users' representations: what it keeps, what it drops, damage that costs time and never a wrong row."""

import datetime
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from illmrec.scoring import representations
from illmrec.scoring.representations import RepresentationStore, drop_superseded

DAY = datetime.date(2026, 1, 31)
DIGESTS = [bytes([number]) * 16 for number in range(5)]
VECTORS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)


def fill(folder: Path, key: str = "way") -> Path:
    with RepresentationStore(folder, key, 7) as store:
        store.store(DIGESTS, VECTORS)
        store.mark_used(DIGESTS, DAY)
        return store.path


def test_what_was_stored_comes_back_bit_for_bit_in_any_order(tmp_path: Path) -> None:
    fill(tmp_path)
    with RepresentationStore(tmp_path, "way", 7) as store:
        known, vectors = store.load([DIGESTS[3], b"unknown", DIGESTS[0], DIGESTS[3]])
    assert known.tolist() == [True, False, True, True]
    assert vectors.tobytes() == np.stack([VECTORS[3], np.zeros(7, np.float32), VECTORS[0], VECTORS[3]]).tobytes()


def test_more_digests_than_one_query_takes(tmp_path: Path) -> None:
    digests = [number.to_bytes(16, "big") for number in range(1203)]
    values = np.arange(1203 * 7, dtype=np.float32).reshape(1203, 7)
    with RepresentationStore(tmp_path, "way", 7) as store:
        store.store(digests, values)
        known, vectors = store.load(digests)
    assert known.all()
    assert (vectors == values).all()


def test_a_flipped_bit_of_a_vector_is_noticed_and_only_that_vector_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = fill(tmp_path)
    connection = sqlite3.connect(path)
    blob = bytearray(VECTORS[2].tobytes())
    blob[5] ^= 1
    connection.execute("UPDATE vectors SET vector = ? WHERE digest = ?", (bytes(blob), DIGESTS[2]))
    connection.commit()
    connection.close()
    with RepresentationStore(tmp_path, "way", 7) as store:
        known, vectors = store.load(DIGESTS)
        assert known.tolist() == [True, True, False, True, True]
        assert not vectors[2].any()
        assert len(store) == 4
    assert "damaged" in caplog.text


@pytest.mark.parametrize("damage", ["garbage", "truncated", "other form"])
def test_a_damaged_file_is_built_anew_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = fill(tmp_path)
    if damage == "garbage":
        path.write_bytes(b"this is no database at all " * 400)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=99")
        connection.close()
    with RepresentationStore(tmp_path, "way", 7) as store:
        assert not store.load(DIGESTS)[0].any()
        store.store(DIGESTS, VECTORS)
        assert store.load(DIGESTS)[0].all()
    assert "built anew" in caplog.text


def test_a_store_that_somebody_else_has_open_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RepresentationStore(tmp_path, "key", 3):
        pass
    content = (tmp_path / "key.sqlite").read_bytes()

    def find_locked(*_: Any, **__: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "key.sqlite", timeout=0)
        connection.execute("BEGIN IMMEDIATE")
        return connection

    holder = find_locked()
    monkeypatch.setattr(representations, "open_file", find_locked)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        RepresentationStore(tmp_path, "key", 3)
    holder.rollback()
    holder.close()
    assert (tmp_path / "key.sqlite").read_bytes() == content


def test_what_no_recent_night_used_is_dropped_and_a_backfill_drops_nothing_of_today(tmp_path: Path) -> None:
    fill(tmp_path)
    with RepresentationStore(tmp_path, "way", 7) as store:
        store.mark_used(DIGESTS[:2], DAY - datetime.timedelta(days=60))
        assert store.drop_unused(7) == 0
        store.mark_used(DIGESTS[:3], DAY + datetime.timedelta(days=6))
        assert store.drop_unused(7) == 0
        store.mark_used(DIGESTS[:3], DAY + datetime.timedelta(days=7))
        assert store.drop_unused(7) == 2
        assert store.load(DIGESTS)[0].tolist() == [True, True, True, False, False]


def test_stores_of_superseded_models_are_dropped_oldest_first(tmp_path: Path) -> None:
    import os

    paths = [fill(tmp_path, f"way-{number}") for number in range(4)]
    for number, path in enumerate(paths):
        os.utime(path, (number, number))
    assert drop_superseded(tmp_path, paths[0], 2) == [paths[2], paths[1]]
    assert sorted(path.name for path in tmp_path.glob("*.sqlite")) == ["way-0.sqlite", "way-3.sqlite"]
    assert drop_superseded(tmp_path, paths[0], 1) == [paths[3]]
