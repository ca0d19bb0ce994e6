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


def test_a_names_number_does_not_depend_on_its_neighbours() -> None:
    names = ["", "u1", "u2", "ü\x1f2", "a" * 8, "a" * 9, "x" * 200, "u1", "\0", "\0\0", *map(str, range(70_000))]
    together = derive_seed_of_each(names, 3, "tie")
    assert together[:10].tolist() == [int(derive_seed_of_each([name], 3, "tie")[0]) for name in names[:10]]
    assert together[1] == together[7]
    assert len(set(together.tolist())) == len(set(names))
    assert derive_seed_of_each([], 3).tolist() == []


def test_numbers_of_names_depend_on_what_they_are_for() -> None:
    names = [f"u{n}" for n in range(1000)]
    kinds = [derive_seed_of_each(names, seed, purpose) for seed in (0, 1) for purpose in ("tie", "negatives")]
    assert len(np.unique(np.concatenate(kinds))) == 4 * len(names)


def test_numbers_of_names_are_well_spread_in_every_byte() -> None:
    numbers = derive_seed_of_each([f"A{n:09d}" for n in range(100_000)], 0)
    for byte in numbers.view(np.uint8).reshape(-1, 8).T:
        counts = np.bincount(byte, minlength=256)
        chi_square = ((counts - len(byte) / 256) ** 2 / (len(byte) / 256)).sum()
        assert 150 < chi_square < 380  # 255 expected; beyond these bounds once in a million


def test_numbers_of_names_are_the_same_on_every_machine() -> None:
    # Draws of data sets that are in use depend on them.
    assert derive_seed_of_each(["", "u1", "A2SUAM1J3GNN3B", "ü" * 30], 0, "tie").tolist() == [
        17916843433637125127,
        3145903887511778190,
        7075856068285383822,
        6102805529874022051,
    ]


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
