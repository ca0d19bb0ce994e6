"""Sampled candidates of the sampled evaluation protocol."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Ragged, sort_distinct
from illmrec.seeds import spread_bits

Seeds = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

BLOCK_USERS = 1024
BLOCK_CELLS = 4_000_000
"""Most (user, item) cells looked at together where whole catalogs are shuffled."""

_STEP = np.uint64(0x9E3779B97F4A7C15)
_UNIT_BITS = 53


def sample_negatives(seen: Ragged, items: int, count: int, seeds: Seeds) -> Ragged:
    """Draw, for each user, items that the user never interacted with: uniformly and without replacement.

    A user's draw depends on the user's seed and items, ``items`` and ``count`` only, so adding or removing other users
    changes nothing. Each seed starts a stream of numbers (splitmix64); the stream's items count in order, seen and
    repeated ones apart. Where these would be most of the stream, the catalog is shuffled instead.

    Args:
        seen: item indices each user interacted with, repeats allowed.
        items: number of items in the catalog.
        count: items wanted for each user.
        seeds: ``uint64 [n]``: one seed for each user.

    Returns:
        Item indices of each user in the order drawn; all unseen items where there are fewer than ``count``.
    """
    seen = _drop_repeats(seen, items)
    unseen = items - seen.lengths
    crowded = (unseen < 2 * count) | (2 * unseen < items)
    lengths = np.minimum(count, unseen)
    offsets = np.zeros(len(seen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    values = np.zeros(offsets[-1], dtype=np.int32)
    rows = max(1, BLOCK_CELLS // max(items, 1))
    for users in _split_blocks(np.flatnonzero(crowded), rows):
        drawn = _shuffle_unseen(_take_rows(seen, users), items, seeds[users])
        for user, row in zip(users, drawn, strict=True):
            values[offsets[user] : offsets[user + 1]] = row[: lengths[user]]
    for users in _split_blocks(np.flatnonzero(~crowded), BLOCK_USERS):
        table = _draw_until_enough(_take_rows(seen, users), items, count, seeds[users])
        values[offsets[users][:, None] + np.arange(count)] = table
    return Ragged(values, offsets)


def _draw_until_enough(seen: Ragged, items: int, count: int, seeds: Seeds) -> npt.NDArray[np.int32]:
    """Return ``int32 [n, count]``: for each user the first ``count`` fresh items of the stream."""
    table = np.zeros((len(seen), count), dtype=np.int32)
    users, length = np.arange(len(seen)), count + count // 8 + 8
    while users.size:
        drawn = _draw_fresh(_take_rows(seen, users), items, length, seeds[users])
        enough = drawn.lengths >= count
        table[users[enough]] = drawn.values[drawn.offsets[:-1][enough][:, None] + np.arange(count)]
        users, length = users[~enough], 2 * length
    return table


def _draw_fresh(seen: Ragged, items: int, length: int, seeds: Seeds) -> Ragged:
    """Return what of each user's first ``length`` stream items is neither seen nor came before, in stream order.

    All users at once: (user, item, place in the stream) as one number, seen items at place 0. Sorted, an item is fresh
    if the number before it names another item; sorted once more by place, the fresh ones are in stream order.
    """
    item_bits, place_bits = np.uint64(items.bit_length()), np.uint64(length.bit_length())
    place = np.arange(1, length + 1, dtype=np.uint64)
    numbers = spread_bits(seeds[:, None] + place * _STEP) >> np.uint64(64 - _UNIT_BITS)
    item = (numbers * (items / 2**_UNIT_BITS)).astype(np.uint64)
    user = np.arange(len(seen), dtype=np.uint64)
    drawn = (((user[:, None] << item_bits) | item) << place_bits) | place
    known = ((np.repeat(user, seen.lengths) << item_bits) | seen.values.astype(np.uint64)) << place_bits
    keys = np.sort(np.concatenate([drawn.ravel(), known]))
    pairs = keys >> place_bits
    fresh = np.append([True], pairs[1:] != pairs[:-1]) & ((keys & _low(place_bits)) > 0)
    keys, pairs = keys[fresh], pairs[fresh]
    users = pairs >> item_bits
    ordered = np.sort((((users << place_bits) | (keys & _low(place_bits))) << item_bits) | (pairs & _low(item_bits)))
    offsets = np.zeros(len(seen) + 1, dtype=np.int64)
    np.cumsum(np.bincount(users.astype(np.int64), minlength=len(seen)), out=offsets[1:])
    return Ragged((ordered & _low(item_bits)).astype(np.int32), offsets)


def _shuffle_unseen(seen: Ragged, items: int, seeds: Seeds) -> npt.NDArray[np.int64]:
    """Return ``int64 [n, items]``: each user's unseen items in random order, followed by the seen ones."""
    keys = spread_bits(seeds[:, None] + np.arange(1, items + 1, dtype=np.uint64) * _STEP) >> np.uint64(1)
    keys[np.repeat(np.arange(len(seen)), seen.lengths), seen.values] |= np.uint64(1 << 63)
    return np.argsort(keys, axis=1, kind="stable")


def _low(bits: np.uint64) -> np.uint64:
    return np.uint64((1 << int(bits)) - 1)


def _drop_repeats(rows: Ragged, items: int) -> Ragged:
    users = np.repeat(np.arange(len(rows)), rows.lengths)
    pairs = sort_distinct(users * np.int64(items) + rows.values)
    offsets = np.searchsorted(pairs, np.arange(len(rows) + 1) * np.int64(items))
    return Ragged((pairs % items).astype(np.int32), offsets.astype(np.int64))


def _take_rows(rows: Ragged, chosen: Indices) -> Ragged:
    lengths = rows.lengths[chosen]
    offsets = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    places = np.arange(offsets[-1]) + np.repeat(rows.offsets[chosen] - offsets[:-1], lengths)
    return Ragged(rows.values[places], offsets)


def _split_blocks(users: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(users), size):
        yield users[start : start + size]
