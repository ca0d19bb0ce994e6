"""Ranks of targets among candidates, with one rule for ties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.errors import ModelError

Scores = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def rank_target(scores: Scores, targets: npt.NDArray[np.integer]) -> Ranks:
    """Return ``float64 [B]``: the 1-based rank of each target; among ties it is the average of the ranks they span.

    A model that gives every item the same score so ranks the target in the middle, neither first nor last.

    Args:
        scores: ``float32 [B, N]``; ``-inf`` marks items that are not candidates.
        targets: ``int [B]``: column of each target.

    Raises:
        ModelError: when a score is NaN, which would otherwise count as a win, or a target is no candidate.
    """
    own = np.take_along_axis(scores, targets[:, None].astype(np.int64), axis=1)[:, 0]
    refuse_broken(scores, own)
    above, equal = count_rivals(scores, own)
    return average_ranks(above, equal - 1)


def average_ranks(above: Counts, tied: Counts) -> Ranks:
    """Return ``float64 [B]``: ranks of targets with so many better candidates, and so many others with equal scores."""
    return np.asarray(1 + above + tied / 2, dtype=np.float64)


def refuse_broken(scores: Scores, own: Scores) -> None:
    """Refuse scores that cannot be ranked.

    Args:
        scores: of any shape.
        own: the targets' scores.

    Raises:
        ModelError: when one is NaN, or a target's is not finite.
    """
    if not np.isfinite(own).all() or (scores.size and np.isnan(scores.min())):  # min passes a NaN on
        raise ModelError("a score is not a number; the model or its features are broken.", hint="Train again.")


def count_rivals(scores: Scores, own: Scores) -> tuple[Counts, Counts]:
    """Return two ``int64 [B]``: how many scores of each row are above its target's, and how many equal it.

    Args:
        scores: ``float32 [B, N]``.
        own: ``float32 [B]``: the targets' scores.
    """
    return _count(scores > own[:, None]), _count(scores == own[:, None])


def _count(flags: npt.NDArray[np.bool_]) -> Counts:
    """Return ``int64 [B]``: the true ones of each row. Eight to a byte, bits are counted faster than flags."""
    packed = np.packbits(flags, axis=1)
    return np.asarray(np.bitwise_count(packed).sum(axis=1, dtype=np.int64))
