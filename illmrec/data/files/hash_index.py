"""Numbers by hash, looked up for a whole block at once: a hash table with open addressing on NumPy arrays.

A look-up costs two reads of memory however many hashes are known, where a join builds a table of all known ones anew
for each block.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int32]

UNKNOWN = -1
ROOM = 4
"""Slots for each hash, at least: with so many, most look-ups end at the first."""

_HASH_BITS, _FIRST_BITS = 64, 12


class HashIndex:
    """Numbers well-spread 64-bit hashes from 0 in the order added."""

    def __init__(self) -> None:
        self._hashes = np.zeros(0, dtype=np.uint64)
        self._bits = _FIRST_BITS
        self._slots = np.full(1 << self._bits, UNKNOWN, dtype=np.int32)

    def __len__(self) -> int:
        """Return how many hashes are known."""
        return len(self._hashes)

    def find(self, hashes: Hashes) -> Numbers:
        """Return ``int32 [n]``: the number of each hash, :data:`UNKNOWN` where it was not added."""
        if not len(self):
            return np.full(len(hashes), UNKNOWN, dtype=np.int32)
        numbers = self._slots[self._choose_slots(hashes, 0)]
        others = np.flatnonzero(self._is_other(numbers, hashes))
        step = 1
        while others.size:
            wanted = hashes[others]
            found = self._slots[self._choose_slots(wanted, step)]
            numbers[others] = found
            others = others[self._is_other(found, wanted)]
            step += 1
        return numbers

    def add(self, hashes: Hashes) -> None:
        """Number further hashes, none of them known and no two the same."""
        known = len(self)
        self._hashes = np.concatenate([self._hashes, hashes])
        if ROOM * len(self) <= len(self._slots):
            self._settle(np.arange(known, len(self), dtype=np.int32))
            return
        self._bits = (ROOM * len(self)).bit_length()
        self._slots = np.full(1 << self._bits, UNKNOWN, dtype=np.int32)
        self._settle(np.arange(len(self), dtype=np.int32))

    def _settle(self, numbers: Numbers) -> None:
        """Put each number into the first free slot of its hash; of several that want one slot, one gets it."""
        step = 0
        while numbers.size:
            slots = self._choose_slots(self._hashes[numbers], step)
            free = self._slots[slots] == UNKNOWN
            self._slots[slots[free]] = numbers[free]
            numbers = numbers[self._slots[slots] != numbers]
            step += 1

    def _choose_slots(self, hashes: Hashes, step: int) -> npt.NDArray[np.int64]:
        slots = (hashes >> np.uint64(_HASH_BITS - self._bits)).view(np.int64)
        return (slots + step) & (len(self._slots) - 1) if step else slots

    def _is_other(self, numbers: Numbers, hashes: Hashes) -> npt.NDArray[np.bool_]:
        other: npt.NDArray[np.bool_] = (self._hashes[numbers] != hashes) & (numbers != UNKNOWN)
        return other
