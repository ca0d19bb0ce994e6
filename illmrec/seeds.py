"""Random numbers that depend only on what they are for, never on what was drawn before.

Every draw names its purpose (``generator(seed, "window", epoch, user)``), so a resumed run, a reordered batch or a
second process draws the same numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(*parts: int | str) -> int:
    """Return a 64-bit seed that is a stable function of ``parts`` on every machine and Python version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """Return a NumPy generator seeded with :func:`derive_seed` of ``parts``."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))
