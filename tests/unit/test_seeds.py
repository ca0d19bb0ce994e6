from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import torch

from illmrec.seeds import derive_seed, derive_seed_of_each, generator
from illmrec.training.seeding import seed_everything


def test_a_seed_is_the_same_in_another_process() -> None:
    code = "from illmrec.seeds import derive_seed; print(derive_seed(3, 'epoch', 1))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(answer.stdout) == derive_seed(3, "epoch", 1)


def test_many_seeds_at_once_are_those_made_one_by_one() -> None:
    names = ["", "u1", "ü\x1f2"]
    assert derive_seed_of_each(names, 3, "tie").tolist() == [derive_seed(3, "tie", name) for name in names]
    assert derive_seed_of_each(names).tolist() == [derive_seed(name) for name in names]
    assert derive_seed_of_each([], 3).tolist() == []


def test_parts_are_told_apart() -> None:
    seeds = [
        derive_seed(1, 2), derive_seed(12), derive_seed("1", 2), derive_seed(1, "2"), derive_seed(2, 1),
        derive_seed("12"), derive_seed(1), derive_seed(), derive_seed("a", "b"), derive_seed("ab"),
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**64 for seed in seeds)


def test_draws_depend_on_their_purpose_only() -> None:
    first = generator(0, "window", 4).random(5)
    generator(0, "window", 3).random(100)
    np.random.default_rng(1).random(3)
    assert np.array_equal(generator(0, "window", 4).random(5), first)
    assert not np.array_equal(generator(0, "window", 5).random(5), first)


def test_everything_is_seeded() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))  # noqa: NPY002

    seed_everything(2**40 + 5)
    first = draw()
    assert draw() != first
    seed_everything(2**40 + 5)
    assert draw() == first
