"""Ranks of targets among candidates, with one rule for ties."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.errors import ModelError

Scores = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.float64]


def rank_target(scores: Scores, targets: npt.NDArray[np.integer]) -> Ranks:
    """Return ``float64 [B]``: the 1-based rank of each target; among ties it is the average of the ranks they span.

    A model that gives every item the same score so ranks the target in the middle, neither first nor last.

    Args:
        scores: ``float32 [B, N]``; ``-inf`` marks items that are not candidates.
        targets: ``int [B]``: column of each target.

    Raises:
        ModelError: when a score is NaN, which would otherwise count as a win, or a target is no candidate.
    """
    own = np.take_along_axis(scores, targets[:, None].astype(np.int64), axis=1)
    if np.isnan(scores).any() or not np.isfinite(own).all():
        raise ModelError("a score is not a number; the model or its features are broken.", hint="Train again.")
    above = (scores > own).sum(1)
    tied = (scores == own).sum(1) - 1
    return np.asarray(1 + above + tied / 2, dtype=np.float64)
