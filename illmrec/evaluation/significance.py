"""Paired tests: could differences between two models be chance?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.seeds import generator

_BLOCK = 64
_SLACK = 1e-9
"""Sums that differ by rounding alone count as equal; relative to the largest sum there can be."""

Floats = npt.NDArray[np.float64]


def flip_signs(differences: Floats, rounds: int, seed: int) -> Floats:
    """Return ``float64 [m]``: two-sided p-values of the mean differences, by flipping signs.

    If two models are alike, each user's difference is as likely to have the other sign. The p-value is the share of
    sign patterns whose mean is at least as far from zero as the one found. With few users all ``2 ** n`` patterns are
    looked at and the value is exact; else ``rounds`` random ones are, the one found counting as one more, so that no
    value is below ``1 / (rounds + 1)``. All m columns get the same patterns.

    Args:
        differences: ``float64 [n, m]``: per user one model's value minus the other's.
        rounds: random patterns.
        seed: draws them.
    """
    n = len(differences)
    found = np.abs(differences.sum(axis=0))
    bar = found - _SLACK * np.abs(differences).sum(axis=0)
    if n < 63 and 2**n <= rounds:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return np.asarray(_count_far(patterns, differences, bar) / 2**n)
    rng = generator(seed, "sign flips")
    far = np.zeros(differences.shape[1])
    for start in range(0, rounds, _BLOCK):
        size = min(_BLOCK, rounds - start)
        bits = np.frombuffer(rng.bytes(size * -(-n // 8)), dtype=np.uint8).reshape(size, -1)
        far += _count_far(np.unpackbits(bits, axis=1, count=n), differences, bar)
    return np.asarray((far + 1) / (rounds + 1))


def _count_far(patterns: npt.NDArray[np.integer], differences: Floats, bar: Floats) -> npt.NDArray[np.int64]:
    """Return ``int64 [m]``: how many sums under patterns ``[p, n]`` of 0 and 1 (keep and flip) reach the bar."""
    flipped = patterns.astype(np.float64) @ differences
    return np.asarray((np.abs(differences.sum(axis=0) - 2 * flipped) >= bar).sum(axis=0))


def correct_holm(p_values: Floats) -> Floats:
    """Return ``float64 [m]``: p-values corrected for being m at once (Holm, 1979).

    Called significant below alpha, the chance that even one of those without a difference is called so is at most
    alpha, however they depend on each other.
    """
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(m, 0, -1))
    corrected = np.empty(m)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
