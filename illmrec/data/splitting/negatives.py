"""Sampled candidates of the sampled evaluation protocol."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import Ragged, sort_distinct
from illmrec.seeds import spread_bits

Seeds = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

BLOCK_CELLS = 4_000_000
"""Most (user, item) cells looked at together where whole catalogs are shuffled."""

TABLE_CELLS = 4_000_000
"""Cells of the table that draws are noted in, a byte each: small enough to stay in the processor's cache."""

FEWEST_USERS, MOST_USERS = 16, 1024
"""Users drawn for together, however large or small the catalog."""

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
    unseen = _count_unseen(seen, items, count)
    crowded = _is_crowded(unseen, items, count)
    table = np.zeros((len(seen), count), dtype=np.int32)
    rows = max(1, BLOCK_CELLS // max(items, 1))
    for users in _split_blocks(np.flatnonzero(crowded), rows):
        drawn = _shuffle_unseen(seen.take(users), items, seeds[users])[:, :count]
        table[users, : drawn.shape[1]] = drawn
    _follow_streams(table, np.flatnonzero(~crowded), seen, items, seeds)
    lengths = np.minimum(count, unseen)
    offsets = np.zeros(len(seen) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    full = offsets[-1] == table.size
    return Ragged(table.ravel() if full else table[np.arange(count) < lengths[:, None]], offsets)


def _is_crowded(unseen: Indices, items: int, count: int) -> npt.NDArray[np.bool_]:
    return (unseen < 2 * count) | (2 * unseen < items)


def _count_unseen(seen: Ragged, items: int, count: int) -> Indices:
    """Return ``int64 [n]``: how many items are new to each user; repeats count where that could make a difference."""
    unseen = items - seen.lengths
    doubtful = np.flatnonzero(_is_crowded(unseen, items, count))
    unseen[doubtful] = items - _drop_repeats(seen.take(doubtful), items).lengths
    return unseen


def _follow_streams(table: npt.NDArray[np.int32], users: Indices, seen: Ragged, items: int, seeds: Seeds) -> None:
    """Fill the rows of ``users`` in ``int32 [n, count]``: with the first fresh items of each one's stream."""
    count = table.shape[1]
    size = max(FEWEST_USERS, min(MOST_USERS, TABLE_CELLS // items)) if users.size else 0
    length = count + count // 16 + 2
    while users.size:
        notes = np.empty(size * items, dtype=np.min_scalar_type(length))
        short = []
        for block in _split_blocks(users, size):
            drawn, fresh = _draw(seen.take(block), items, length, seeds[block], notes)
            found = np.cumsum(fresh, axis=1, dtype=np.int32)
            enough = found[:, -1] >= count
            fresh &= (found <= count) & enough[:, None]
            table[block[enough]] = drawn[fresh].reshape(-1, count)
            short.append(block[~enough])
        users, length = np.concatenate(short), 2 * length


def _draw(
    seen: Ragged, items: int, length: int, seeds: Seeds, notes: npt.NDArray[np.unsignedinteger]
) -> tuple[Indices, npt.NDArray[np.bool_]]:
    """Draw the first ``length`` items of each user's stream, and say which are fresh: neither seen nor drawn before.

    Each draw's place in the stream is noted in the cell of its user and item, the last place first, so that the first
    place stays; then 0 is noted for seen items. A draw whose place still stands is fresh. Only cells written here are
    read, so ``notes`` need not be cleared.

    Args:
        seen: item indices each user interacted with.
        items: number of items in the catalog.
        length: draws of each user.
        seeds: ``uint64 [n]``: one seed for each user.
        notes: at least n * ``items`` cells that hold numbers up to ``length``.

    Returns:
        ``int64 [n, length]``: items; ``bool [n, length]``: whether each is fresh.
    """
    backwards = np.arange(length, 0, -1, dtype=np.uint64)
    numbers = spread_bits(seeds[:, None] + backwards * _STEP) >> np.uint64(64 - _UNIT_BITS)
    drawn = (numbers * (items / 2**_UNIT_BITS)).astype(np.int64)
    first_cells = np.arange(len(seen)) * items
    cells, places = drawn + first_cells[:, None], backwards.astype(notes.dtype)
    notes[cells] = places
    notes[np.repeat(first_cells, seen.lengths) + seen.values] = 0
    return drawn[:, ::-1], (notes[cells] == places)[:, ::-1]


def _shuffle_unseen(seen: Ragged, items: int, seeds: Seeds) -> npt.NDArray[np.int64]:
    """Return ``int64 [n, items]``: each user's unseen items in random order, followed by the seen ones."""
    keys = spread_bits(seeds[:, None] + np.arange(1, items + 1, dtype=np.uint64) * _STEP) >> np.uint64(1)
    keys[np.repeat(np.arange(len(seen)), seen.lengths), seen.values] |= np.uint64(1 << 63)
    return np.argsort(keys, axis=1, kind="stable")


def _drop_repeats(rows: Ragged, items: int) -> Ragged:
    users = np.repeat(np.arange(len(rows)), rows.lengths)
    pairs = sort_distinct(users * np.int64(items) + rows.values)
    offsets = np.searchsorted(pairs, np.arange(len(rows) + 1) * np.int64(items))
    return Ragged((pairs % items).astype(np.int32), offsets.astype(np.int64))


def _split_blocks(users: Indices, size: int) -> Iterator[Indices]:
    for start in range(0, len(users), size):
        yield users[start : start + size]
