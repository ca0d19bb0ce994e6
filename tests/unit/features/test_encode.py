from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from illmrec.features.cache import FeatureCache
from illmrec.features.encode import Encoded, EncodedBatch, encode_missing, encode_texts_here, hash_text


class Encoder:
    """Remembers what it was asked; a text's vector is its length and its first letters."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.batches.append(texts)
        return np.array([[len(text), *text.encode().ljust(2)[:2]] for text in texts], dtype=np.float32)


def encode_all(cache: FeatureCache, texts: dict[str, str], encoder, batch_size: int) -> int:
    engine = encode_texts_here(encoder)
    done = encode_missing(cache, texts, texts.__getitem__, engine, batch_size=batch_size, label="test", unit="text")
    assert done.refused == {}
    return done.count


def encode(folder: Path, texts: list[str], batch_size: int = 2) -> tuple[int, list[list[str]], np.ndarray]:
    encoder = Encoder()
    with FeatureCache(folder, "e", "1", 3) as cache:
        count = encode_all(cache, {hash_text(text): text for text in texts}, encoder, batch_size)
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
        assert encode_all(cache, {}, Encoder(), 2) == 0

        def fail(_: object) -> None:
            pytest.fail("there was nothing to encode")

        cache.store(["a"], np.zeros((1, 3), dtype=np.float32))
        done = encode_missing(cache, ["a", "a"], fail, fail, batch_size=2, label="test", unit="text")
        assert done == Encoded(0, {})


def test_what_was_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    def break_at_third(texts: list[str]) -> np.ndarray:
        if texts == ["three"]:
            raise OSError("gone")
        return Encoder()(texts)

    jobs = {hash_text(text): text for text in ("one", "two", "three", "four")}
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        with pytest.raises(OSError, match="gone"):
            encode_all(cache, jobs, break_at_third, 1)
        assert cache.missing(jobs) == [hash_text("three"), hash_text("four")]


def test_engines_may_answer_in_any_order_and_refuse(tmp_path: Path) -> None:
    def backwards(batches: Sequence[Sequence[str]]) -> Iterator[EncodedBatch]:
        for number in reversed(range(len(batches))):
            kept = [text for text in batches[number] if text != "bad"]
            refused = {place: "is bad" for place, text in enumerate(batches[number]) if text == "bad"}
            yield EncodedBatch(number, Encoder()(kept) if kept else np.zeros((0, 0), np.float32), refused)

    texts = ["one", "bad", "three", "four", "fiveee"]
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        done = encode_missing(cache, texts, str, backwards, batch_size=2, label="test", unit="text")
        assert done == Encoded(4, {"bad": "is bad"})
        assert cache.missing(texts) == ["bad"]
        assert cache.load(["one", "three", "four", "fiveee"])[:, 0].tolist() == [3, 5, 4, 6]
        alone = encode_missing(cache, ["bad"], str, backwards, batch_size=2, label="test", unit="text")
        assert alone == Encoded(0, {"bad": "is bad"}), "a refused content is tried again"


KILLED = """
import sys, os, signal
import numpy as np
from pathlib import Path
from illmrec.features.cache import FeatureCache
from illmrec.features.encode import encode_missing, encode_texts_here
done = 0
def encode(texts):
    global done
    done += 1
    if done == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return np.full((len(texts), 3), done, dtype=np.float32)
with FeatureCache(Path(sys.argv[1]), "e", "1", 3) as cache:
    names = [str(n) for n in range(20)]
    encode_missing(cache, names, str, encode_texts_here(encode), batch_size=2, label="test", unit="text")
"""


def test_a_kill_loses_only_the_batch_being_encoded(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with FeatureCache(tmp_path, "e", "1", 3) as cache:
        assert cache.missing(map(str, range(20))) == [str(number) for number in range(6, 20)]
        assert cache.load(["0", "5"]).tolist() == [[1] * 3, [3] * 3]


def test_the_hash_of_a_text_is_the_sha256_of_its_bytes() -> None:
    assert hash_text("é") == hashlib.sha256("é".encode()).hexdigest()
