"""Sampled candidates in proportion to popularity: harder to beat than uniform ones, which are mostly niche items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Ragged
from illmrec.seeds import spread_bits

Seeds = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]

BLOCK_USERS = 1024
"""Users drawn for together."""
BLOCK_CELLS = 4_000_000
"""Most (user, item) cells looked at together where the whole catalog is put in order."""
PATIENCE = 32
"""Draws per wanted item within which a user must be expected to find enough; for others the catalog is put in order."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_UNIT_BITS = 53


def sample_popular_negatives(seen: Ragged, weights: Weights, count: int, seeds: Seeds) -> Ragged:
    """Draw, for each user, unseen items one after the other: each with a chance in proportion to its weight.

    What was drawn is not drawn again, as if it were taken out of an urn. A user's draw depends on the user's seed and
    items, the weights and ``count`` only. Items of weight 0 are never drawn.

    Args:
        seen: item indices each user interacted with, repeats allowed.
        weights: ``float64 [n_items]``: how often each item was taken in training.
        count: items wanted for each user.
        seeds: ``uint64 [n]``: one seed for each user.

    Returns:
        Item indices of each user in the order drawn; all unseen items of some weight where those are fewer.
    """
    total = float(weights.sum())
    if not total:
        return Ragged(np.zeros(0, dtype=np.int32), np.zeros(len(seen) + 1, dtype=np.int64))
    cumulative = np.cumsum(weights) / total
    patient = _expect_distinct(weights / total, PATIENCE * count) - seen.lengths >= 1.5 * count
    table = np.full((len(seen), count), -1, dtype=np.int32)
    for users in _split(np.flatnonzero(patient), BLOCK_USERS):
        table[users] = _draw_until_enough(seen.take(users), cumulative, count, seeds[users])
    for users in _split(np.flatnonzero(~patient), max(1, BLOCK_CELLS // len(weights))):
        ordered = _order_unseen(seen.take(users), weights, count, seeds[users])
        table[users, : ordered.shape[1]] = ordered
    drawn = table >= 0
    return Ragged(table[drawn], np.append(0, np.cumsum(drawn.sum(axis=1))).astype(np.int64))


def _expect_distinct(shares: Weights, draws: int) -> float:
    """Return how many different items so many draws are expected to find."""
    return float((1.0 - (1.0 - shares) ** draws).sum())


def _draw_until_enough(seen: Ragged, cumulative: Weights, count: int, seeds: Seeds) -> npt.NDArray[np.int32]:
    """Return ``int32 [n, count]``: for each user the first ``count`` fresh items of the stream."""
    table = np.zeros((len(seen), count), dtype=np.int32)
    users, length = np.arange(len(seen)), 2 * count + 8
    while users.size:
        drawn, fresh = _draw(seen.take(users), cumulative, length, seeds[users])
        found = np.cumsum(fresh, axis=1)
        enough = found[:, -1] >= count
        kept = fresh & (found <= count) & enough[:, None]
        table[users[enough]] = drawn[kept].reshape(-1, count)
        users, length = users[~enough], 2 * length
    return table


def _draw(seen: Ragged, cumulative: Weights, length: int, seeds: Seeds) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Return ``int64 [n, length]``: the first items of each stream, and ``bool [n, length]``: which of them are fresh.

    An item is fresh if it is not seen and did not come before: of equal (user, item) pairs, sorted with the seen ones
    first and then by place, only the first counts, and only if it was drawn.
    """
    places = np.arange(1, length + 1, dtype=np.uint64)
    numbers = spread_bits(seeds[:, None] + places * _STEP) >> np.uint64(64 - _UNIT_BITS)
    drawn = np.searchsorted(cumulative, numbers / 2.0**_UNIT_BITS, side="right")
    np.minimum(drawn, np.searchsorted(cumulative, cumulative[-1]), out=drawn)  # rounding may leave the sum below 1
    firsts = np.arange(len(seen)) * len(cumulative)
    known = np.repeat(firsts, seen.lengths) + seen.values
    pairs = np.concatenate([known, (drawn + firsts[:, None]).ravel()])
    order = np.argsort(pairs, kind="stable")
    ordered = pairs[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    fresh = np.zeros(len(pairs), dtype=np.bool_)
    fresh[order[first]] = True
    return drawn, fresh[len(known) :].reshape(drawn.shape)


def _order_unseen(seen: Ragged, weights: Weights, count: int, seeds: Seeds) -> npt.NDArray[np.int32]:
    """Return ``int32 [n, <= count]``: unseen items in random order, -1 after the last.

    An exponential race: each item arrives after an exponential time of rate ``weight``. The order of arrival is that of
    draws without replacement in proportion to the weights.
    """
    places = np.arange(1, len(weights) + 1, dtype=np.uint64)
    numbers = spread_bits(seeds[:, None] + places * _STEP) >> np.uint64(64 - _UNIT_BITS)
    with np.errstate(divide="ignore"):
        arrival = -np.log((numbers + 1.0) / 2.0**_UNIT_BITS) / weights
    arrival[:, weights == 0] = np.inf
    arrival[np.repeat(np.arange(len(seen)), seen.lengths), seen.values] = np.inf
    order = np.argsort(arrival, axis=1, kind="stable")[:, :count].astype(np.int32)
    order[np.isinf(np.take_along_axis(arrival, order, axis=1))] = -1
    return order


def _split(users: Indices, size: int) -> list[Indices]:
    return [users[start : start + size] for start in range(0, len(users), size)]
