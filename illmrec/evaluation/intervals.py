"""Bootstrap intervals over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.seeds import generator

_BLOCK = 64


def bootstrap_means(values: npt.NDArray[np.float64], samples: int, seed: int) -> npt.NDArray[np.float64]:
    """Return ``float64 [samples, m]``: means of ``float64 [n, m]`` over users drawn with replacement.

    Each resample uses the same users for all m columns, so differences between columns are paired.
    """
    rng = generator(seed, "bootstrap")
    n = len(values)
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, _BLOCK):
        size = min(_BLOCK, samples - start)
        drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means[start : start + size] = weights.astype(np.float64) @ values / n
    return means


def interval(means: npt.NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """Return the percentile interval of resampled means ``float64 [samples]``."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)
