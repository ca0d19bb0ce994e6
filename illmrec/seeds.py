"""Random numbers that depend only on what they are for, never on what was drawn before.

Every draw names its purpose (``generator(seed, "window", epoch, user)``), so a resumed run, a reordered batch or a
second process draws the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.uint64]

_WORD, _NAMES = 8, 65_536
_ODD = np.uint64(0x9E3779B97F4A7C15)  # keeps zeros from staying zeros


def derive_seed(*parts: int | str) -> int:
    """Return a 64-bit seed that is a stable function of ``parts`` on every machine and Python version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def derive_seed_of_each(names: Iterable[str], *parts: int | str) -> Numbers:
    """Return ``uint64 [n]``: for each name a number that depends on it and ``parts`` alone, on every machine.

    Not a digest of each, as in :func:`derive_seed`: names are read as 8-byte words, and each word is mixed into the
    numbers of all names of one length at once. Well spread, but no guard against names made to collide.
    """
    encoded = [name.encode() for name in names]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    starts = np.cumsum(lengths) - lengths
    text = np.frombuffer(b"".join(encoded), np.uint8)
    seeds = np.full(len(encoded), derive_seed(*parts), np.uint64)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        group = np.flatnonzero(lengths == length)
        for first in range(0, len(group), _NAMES):
            rows = group[first : first + _NAMES]
            seeds[rows] = _mix_names(text, starts[rows], length, seeds[rows])
    return seeds


def _mix_names(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], length: int, seeds: Numbers) -> Numbers:
    """Return the numbers of the names of ``length`` bytes that begin at ``starts``, from a seed for each."""
    padded = np.zeros((len(starts), -(-length // _WORD) * _WORD), np.uint8)
    padded[:, :length] = text[starts[:, None] + np.arange(length)]
    numbers = spread_bits(seeds ^ np.uint64(length))
    for word in padded.view("<u8").T:
        numbers = spread_bits((numbers ^ word) + _ODD)
    return numbers


def spread_bits(numbers: Numbers) -> Numbers:
    """Return ``uint64`` of the same shape: one well-spread number for each, the finaliser of splitmix64.

    Works in place, which spares the memory of tens of millions of numbers.
    """
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        numbers ^= numbers >> np.uint64(shift)
        numbers *= np.uint64(factor)
    numbers ^= numbers >> np.uint64(31)
    return numbers


def generator(*parts: int | str) -> np.random.Generator:
    """Return a NumPy generator seeded with :func:`derive_seed` of ``parts``."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))


def draw_cycle(count: int, *parts: int | str) -> npt.NDArray[np.int64]:
    """Return ``int64 [count]``: for each place another one, each once; in one cycle, so that none keeps its own."""
    order = generator(*parts).permutation(count)
    others = np.empty(count, dtype=np.int64)
    others[order] = np.roll(order, 1)
    return others
