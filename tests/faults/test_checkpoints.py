"""Checkpoints under kills, flipped bytes and truncation: whole, or refused, or the older one is taken."""

from __future__ import annotations

import ctypes
import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from illmrec import atomic
from illmrec.errors import ModelError
from illmrec.training.checkpoint import Checkpoint, load_latest, read_tensors, save_checkpoint, write_tensors

TENSORS = {"model/a": torch.arange(60, dtype=torch.float32).reshape(6, 10), "best/a": torch.ones(3)}
STATE = {"step": 7, "best_score": 0.30000000000000004, "curve": [{"step": 1, "loss": 1e-07}], "about": {"name": "é"}}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "model", TENSORS, STATE)
    return tmp_path / "model"


def test_what_was_written_is_read(saved: Path) -> None:
    read = read_tensors(saved)
    assert read.state == STATE
    assert read.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in TENSORS.items())


def test_every_flipped_bit_is_noticed(saved: Path) -> None:
    files = [saved / "state.json", saved / "tensors.safetensors"]
    contents = [path.read_bytes() for path in files]
    rng = random.Random(0)
    # All of the JSON's bytes: white space and the digits after a float's last meaningful one are the hard cases.
    places = [(0, place) for place in range(len(contents[0]))]
    places += [(1, rng.randrange(len(contents[1]))) for _ in range(300)]
    for number, place in places:
        damaged = bytearray(contents[number])
        damaged[place] ^= 1 << rng.randrange(8)
        files[number].write_bytes(damaged)
        with pytest.raises(ModelError, match=str(saved)):
            read_tensors(saved)
        files[number].write_bytes(contents[number])
    read_tensors(saved)


@pytest.mark.parametrize(("old", "new"), [(b"1e-07", b"1E-07"), (b"0000004", b"0000005"), (b"\n  ", b"\n\t ")])
def test_a_change_that_leaves_the_parsed_values_alone_is_noticed_too(saved: Path, old: bytes, new: bytes) -> None:
    path = saved / "state.json"
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))
    with pytest.raises(ModelError):
        read_tensors(saved)


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_every_truncation_is_noticed(saved: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    for length in np.linspace(0, len(whole) - 1, 50).astype(int):
        (saved / name).write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_tensors(saved)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', '{"state_sha256": 5}', "{}", "\xff"])
def test_json_of_another_shape_is_refused(saved: Path, text: str) -> None:
    (saved / "state.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError):
        read_tensors(saved)


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ModelError, match=name):
        read_tensors(saved)


def test_the_older_checkpoint_is_taken_when_the_newer_is_damaged(tmp_path: Path) -> None:
    for step in (10, 20):
        save_checkpoint(tmp_path, step, Checkpoint(TENSORS, {"step": step}))
    newest = tmp_path / "step-00000020" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    checkpoint, damaged = load_latest(tmp_path)
    assert checkpoint is not None
    assert checkpoint.state["step"] == 10
    assert len(damaged) == 1
    assert "step-00000020" in damaged[0]


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "nowhere") == (None, [])


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 100):
        save_checkpoint(tmp_path, step, Checkpoint(TENSORS, {"step": step}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]


def write_forever(folder: Path, published: ctypes.c_longlong) -> None:
    """Go on from the newest checkpoint; every third one is published twice, as when a run resumes."""
    checkpoint, _ = load_latest(folder)
    step = 0 if checkpoint is None else checkpoint.state["step"]
    while True:
        step += 1
        state = Checkpoint({str(n): torch.full((200,), float(step)) for n in range(20)}, {"step": step})
        for _ in range(2 if step % 3 == 0 else 1):
            save_checkpoint(folder, step, state)
        published.value = step


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    folder, rng, last = tmp_path / "checkpoints", random.Random(1), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "pytest", "illmrec.training.checkpoint"])
    for _ in range(200):
        published = context.RawValue(ctypes.c_longlong, 0)
        writer = context.Process(target=write_forever, args=(folder, published))
        writer.start()
        while not published.value:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.03))
        writer.kill()
        writer.join()
        checkpoint, damaged = load_latest(folder)
        assert damaged == []
        assert checkpoint is not None
        step = checkpoint.state["step"]
        # Publishing the newest once more may lose it, but never the one before it.
        assert step >= published.value - 1
        assert step >= last
        assert all(bool((tensor == step).all()) for tensor in checkpoint.tensors.values())
        last = step
    assert atomic.sweep_partial(folder) > 0, "no kill fell into a write; the test shows nothing"
