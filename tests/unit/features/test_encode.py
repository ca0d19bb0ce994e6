from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from illmrec.features.cache import FeatureCache
from illmrec.features.encode import encode_missing, hash_text


class Encoder:
    """Remembers what it was asked; a text's vector is its length and its first letters."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.batches.append(texts)
        return np.array([[len(text), *text.encode().ljust(2)[:2]] for text in texts], dtype=np.float32)


def sources(texts: list[str]) -> dict[str, Callable[[], str]]:
    return {hash_text(text): (lambda text=text: text) for text in texts}


def encode(folder: Path, texts: list[str], batch_size: int = 2) -> tuple[int, list[list[str]], np.ndarray]:
    encoder = Encoder()
    with FeatureCache(folder, "e", "1", 3) as cache:
        count = encode_missing(cache, sources(texts), encoder, batch_size=batch_size, label="test")
        return count, encoder.batches, cache.load([hash_text(text) for text in texts])


def test_contents_go_through_in_order_and_in_batches(tmp_path: Path) -> None:
    count, batches, features = encode(tmp_path, ["one", "three", "two", "five", "six"])
    assert count == 5
    assert batches == [["one", "three"], ["two", "five"], ["six"]]
    assert features[:, 0].tolist() == [3, 5, 3, 4, 3]


def test_only_what_changed_is_encoded_again(tmp_path: Path) -> None:
    _, _, first = encode(tmp_path, ["one", "three", "two"])
    # Renamed or moved: the content is the key.
    assert encode(tmp_path, ["two", "one", "three"])[:2] == (0, [])
    count, batches, _ = encode(tmp_path, ["one", "THREE", "two"])
    assert (count, batches) == (1, [["THREE"]])
    count, _, reverted = encode(tmp_path, ["one", "three", "two"])
    assert count == 0
    assert reverted.tobytes() == first.tobytes()


def test_adding_one_to_thousands_encodes_one(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(3000)]
    assert encode(tmp_path, texts, 512)[0] == 3000
    assert encode(tmp_path, [*texts[:1500], "new", *texts[1500:]], 512)[:2] == (1, [["new"]])


def test_equal_contents_are_encoded_once(tmp_path: Path) -> None:
    assert encode(tmp_path, ["one", "one", "two", "one"])[:2] == (2, [["one", "two"]])


def test_nothing_to_do_calls_nobody(tmp_path: Path) -> None:
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        assert encode_missing(cache, {}, Encoder(), batch_size=2, label="test") == 0


def test_what_was_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    def broken() -> str:
        raise OSError("gone")

    jobs = sources(["one", "two", "three"]) | {"x": broken} | sources(["four"])
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        with pytest.raises(OSError, match="gone"):
            encode_missing(cache, jobs, Encoder(), batch_size=1, label="test")
        assert cache.missing(jobs) == ["x", hash_text("four")]


def test_few_contents_wait_in_memory(tmp_path: Path) -> None:
    lock, loaded, worst = threading.Lock(), [0], [0]

    def load() -> str:
        with lock:
            loaded[0] += 1
        return "text"

    def consume(texts: list[str]) -> np.ndarray:
        with lock:
            worst[0] = max(worst[0], loaded[0])
            loaded[0] -= len(texts)
        return np.zeros((len(texts), 3), dtype=np.float32)

    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        encode_missing(cache, {str(n): load for n in range(400)}, consume, batch_size=4, label="test")
    assert worst[0] <= 3 * 4


KILLED = """
import sys, os, signal
import numpy as np
from pathlib import Path
from illmrec.features.cache import FeatureCache
from illmrec.features.encode import encode_missing
done = 0
def encode(texts):
    global done
    done += 1
    if done == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((len(texts), 3), done, dtype=np.float32)
with FeatureCache(Path(sys.argv[1]), "e", "1", 3) as cache:
    encode_missing(cache, {str(n): (lambda: "t") for n in range(20)}, encode, batch_size=2, label="test")
"""


def test_a_kill_loses_only_the_batch_being_encoded(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        assert cache.missing(map(str, range(20))) == [str(number) for number in range(6, 20)]
        assert cache.load(["0", "5"]).tolist() == [[1] * 3, [3] * 3]


def test_the_hash_of_a_text_is_the_sha256_of_its_bytes() -> None:
    assert hash_text("é") == hashlib.sha256("é".encode()).hexdigest()
