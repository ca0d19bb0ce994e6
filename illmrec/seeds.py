"""Random numbers that depend only on what they are for, never on what was drawn before.

Every draw names its purpose (``generator(seed, "window", epoch, user)``), so a resumed run, a reordered batch or a
second process draws the same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def derive_seed(*parts: int | str) -> int:
    """Return a 64-bit seed that is a stable function of ``parts`` on every machine and Python version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def derive_seed_of_each(names: Iterable[str], *parts: int | str) -> npt.NDArray[np.uint64]:
    """Return ``uint64 [n]``: :func:`derive_seed` of ``parts`` and each name, at a third of the time per name."""
    text = "".join(f"{type(part).__name__}:{part}\x1f" for part in parts) + "str:"
    prefix = hashlib.blake2b(text.encode(), digest_size=8)
    digests = []
    for name in names:
        state = prefix.copy()
        state.update(name.encode())
        digests.append(state.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def spread_bits(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
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
