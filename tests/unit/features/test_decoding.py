"""Decoder processes: same pixels as in this process, and no picture can stop the run."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from illmrec.data.images import open_rgb
from illmrec.errors import DataError, IllmrecError
from illmrec.features import decoding
from illmrec.features.decoding import DecodedBatch, DecodeLimits, DecodingPool, PictureFile, choose_workers
from illmrec.features.preparation import Preparation

PREPARATION = Preparation(24, 32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), fit="shortest")
LIMITS = DecodeLimits(max_pixels=50_000_000, memory_mb=256, seconds=20.0)

HURTFUL = """
import os, signal, time
import illmrec.data.images as images
plain = images.read_rgb
def read_rgb(path, max_pixels):
    if "crash" in path.name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "hang" in path.name:
        time.sleep(60)
    return plain(path, max_pixels)
images.read_rgb = read_rgb
"""


def save(path: Path, size: tuple[int, int] = (40, 30), seed: int = 0) -> PictureFile:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(values).save(path)
    return describe(path)


def save_large(path: Path, side: int) -> PictureFile:
    """Write a picture of few bytes and many pixels."""
    Image.new("RGB", (side, side)).save(path)
    return describe(path)


def describe(path: Path) -> PictureFile:
    return PictureFile(path, hashlib.sha256(path.read_bytes()).hexdigest())


def decode(batches: list[list[PictureFile]], limits: DecodeLimits = LIMITS, workers: int = 1) -> list[DecodedBatch]:
    size = max(map(len, batches))
    with DecodingPool(PREPARATION, limits, batch_size=size, workers=workers) as pool:
        return [
            DecodedBatch(batch.pixels.copy(), batch.kept, batch.refused) for batch in pool.decode(batches)
        ]  # copied: the next batch but one takes the same memory


def prepare_here(batch: list[PictureFile]) -> np.ndarray:
    return PREPARATION.prepare_all([open_rgb(file.path, LIMITS.max_pixels) for file in batch])


@pytest.fixture
def batches(tmp_path: Path) -> list[list[PictureFile]]:
    names = ["a.png", "b.jpg", "c.webp", "d.bmp", "é.gif"]
    files = [save(tmp_path / f"{n}-{names[n % 5]}", (20 + 3 * n, 90 - 2 * n), n) for n in range(29)]
    return [files[start : start + 4] for start in range(0, 29, 4)]


@pytest.mark.parametrize("workers", [1, 3])
def test_pixels_are_those_of_this_process_in_order(batches: list[list[PictureFile]], workers: int) -> None:
    decoded = decode(batches, workers=workers)
    assert len(decoded) == 8
    for batch, result in zip(batches, decoded, strict=True):
        assert result.refused == {}
        assert result.kept == list(range(len(batch)))
        assert result.pixels.tobytes() == prepare_here(batch).tobytes()


def test_few_batches_wait_in_memory(batches: list[list[PictureFile]], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def give() -> Iterator[list[PictureFile]]:
        for number, batch in enumerate(batches):
            taken.append(number)
            yield batch

    monkeypatch.setattr(decoding, "MAX_SHARED_BYTES", 3 * 4 * 3 * 24 * 32 * 4)
    with DecodingPool(PREPARATION, LIMITS, batch_size=4, workers=4) as pool:
        for number, _ in enumerate(pool.decode(give())):
            assert len(taken) <= number + 3


def test_what_is_no_picture_is_refused_and_the_batch_goes_on(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", seed=n) for n in range(4)]
    files[1].path.write_text("<html>")
    (tmp_path / "large.png").write_bytes(save_large(tmp_path / "x.png", 300).path.read_bytes())
    batch = [files[0], describe(files[1].path), files[2], describe(tmp_path / "large.png"), files[3]]
    (result,) = decode([batch], DecodeLimits(max_pixels=80_000))
    assert result.kept == [0, 2, 4]
    assert result.pixels.tobytes() == prepare_here([files[0], files[2], files[3]]).tobytes()
    assert "JPEG" in result.refused[1]
    assert "300 x 300" in result.refused[3]


def test_a_picture_that_eats_memory_is_refused(tmp_path: Path) -> None:
    bomb = save_large(tmp_path / "bomb.png", 6000)
    small = save(tmp_path / "small.png")
    (result,) = decode([[bomb, small]], DecodeLimits(max_pixels=50_000_000, memory_mb=64))
    assert result.refused == {0: "decoding needs more than 64 MB"}
    assert result.pixels.tobytes() == prepare_here([small]).tobytes()
    (fits,) = decode([[bomb, small]], DecodeLimits(max_pixels=50_000_000, memory_mb=512))
    assert fits.refused == {}


def test_a_small_picture_takes_little_memory(tmp_path: Path) -> None:
    (result,) = decode([[save(tmp_path / "small.png")]], DecodeLimits(max_pixels=10_000, memory_mb=40))
    assert result.refused == {}


@pytest.fixture
def hurtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make decoders crash or hang on pictures of certain names."""
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(HURTFUL)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "patch"), *sys.path])


@pytest.mark.usefixtures("hurtful")
def test_a_picture_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    slow, small = save(tmp_path / "hang.png"), save(tmp_path / "small.png")
    limits = DecodeLimits(max_pixels=50_000_000, seconds=1.0)
    first, second = decode([[small, slow, small], [small]], limits)
    assert first.refused == {1: "decoding took longer than 1 s"}
    assert first.kept == [0, 2]
    assert first.pixels.tobytes() == prepare_here([small, small]).tobytes()
    assert second.pixels.tobytes() == prepare_here([small]).tobytes()


@pytest.mark.usefixtures("hurtful")
def test_a_picture_that_crashes_its_decoder_is_refused(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", seed=n) for n in range(8)]
    crash = save(tmp_path / "crash.png")
    batches = [[files[0], crash], [crash], [files[1], files[2]], [files[3], crash, files[4]], [files[5]]]
    decoded = decode(batches, workers=2)
    reason = "decoding ended its process (SIGSEGV)"
    assert [result.refused for result in decoded] == [{1: reason}, {0: reason}, {}, {1: reason}, {}]
    for batch, result in zip(batches, decoded, strict=True):
        kept = [file for file in batch if file is not crash]
        assert result.pixels.tobytes() == prepare_here(kept).tobytes()


def test_a_decoder_stopped_from_outside_costs_no_picture(batches: list[list[PictureFile]]) -> None:
    with DecodingPool(PREPARATION, LIMITS, batch_size=4, workers=1) as pool:
        for number, result in enumerate(pool.decode(batches)):
            assert result.refused == {}
            assert result.pixels.tobytes() == prepare_here(batches[number]).tobytes()
            if number == 1:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)


@pytest.mark.parametrize("change", ["other bytes", "no picture", "removed"])
def test_a_file_that_changed_since_prepare_stops_the_run(tmp_path: Path, change: str) -> None:
    file = save(tmp_path / "a.png")
    if change == "other bytes":
        save(file.path, seed=1)
    elif change == "no picture":
        file.path.write_text("<html>")
    else:
        file.path.unlink()
    with pytest.raises(DataError, match=r"a\.png.*changed since the catalog was prepared") as caught:
        decode([[save(tmp_path / "b.png"), file]])
    assert "illmrec prepare" in caught.value.hint


def test_decoders_that_never_start_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os; os._exit(7)")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(IllmrecError, match="status 7"):
        decode([[save(tmp_path / "a.png")]])


def test_no_process_outlives_the_pool(batches: list[list[PictureFile]]) -> None:
    with DecodingPool(PREPARATION, LIMITS, batch_size=4, workers=2) as pool:
        processes = [worker.process for worker in pool._workers]
        next(pool.decode(batches))
    assert all(process.poll() is not None for process in processes)


@pytest.mark.parametrize(("pictures", "wanted", "started"), [(1, 8, 1), (256, 8, 1), (257, 8, 2), (10**6, 3, 3)])
def test_a_few_hundred_pictures_start_one_process(pictures: int, wanted: int, started: int) -> None:
    assert choose_workers(pictures, wanted) == started


def test_by_default_one_core_is_left_to_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, started in ((None, 1), (1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        assert choose_workers(10**6, None) == started
