"""What recommended lists are like, beyond whether they hold the target.

All of these look at each user's k best items that are not in the history; equal scores are put in the order of item
indices. None of them says that a list is good: they say how much of the catalog is shown, how evenly, how well known
it is, and whether the categories are those of the history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec.data.histories import Indices, Ragged
from illmrec.evaluation.metrics import Metric, PerUser
from illmrec.evaluation.top import NONE

SMOOTHING = 0.01
"""Share of the history's distribution that is mixed into the list's, so that no ratio is infinite (Steck, 2018)."""

Counts = npt.NDArray[np.int64]


def count_exposure(lists: Indices, items: int) -> Counts:
    """Return ``int64 [items]``: in how many of the lists ``int32 [n, k]`` each item stands."""
    return np.bincount(lists[lists != NONE], minlength=items)


def measure_coverage(exposure: Counts) -> float:
    """Return the share of items that stand in at least one list."""
    return float((exposure > 0).mean())


def measure_gini(exposure: Counts) -> float:
    """Return the Gini coefficient of exposure: 0 when all items are shown equally often, towards 1 when one is alone.

    With exposures in ascending order, ``sum_i (2 i - N - 1) x_i / (N sum_i x_i)``, i from 1 to N items.
    """
    ordered, n = np.sort(exposure), len(exposure)
    places = 2 * np.arange(1, n + 1) - n - 1
    return float((places * ordered).sum() / (n * max(ordered.sum(), 1)))


def measure_information(popularity: Counts) -> npt.NDArray[np.float64]:
    """Return ``float64 [n_items]``: the self-information of each item in bits, ``-log2 p``.

    ``p = (count + 1) / (all + n_items)`` with training interactions counted once more than they are, so that an item
    without any has a finite value.
    """
    return np.asarray(-np.log2((popularity + 1) / (popularity.sum() + len(popularity))), dtype=np.float64)


def measure_novelty(lists: Indices, information: npt.NDArray[np.float64]) -> PerUser:
    """Return ``float64 [n]``: mean self-information of each list's items, in bits; NaN for an empty list."""
    shown = lists != NONE
    bits = np.where(shown, information[lists], 0.0)
    with np.errstate(invalid="ignore"):
        return np.asarray(bits.sum(axis=1) / shown.sum(axis=1))


@dataclass(frozen=True)
class Tastes:
    """The categories of every user's history, as a distribution.

    Args:
        categories: per item the indices of its categories, in any number.
        n_categories: how many there are.
        keys: ``int64 [t]``: ``user * n_categories + category`` of each category in a history, ascending.
        shares: ``float64 [t]``: its share; a user's shares sum to 1.
        users: number of users.
    """

    categories: Ragged
    n_categories: int
    keys: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    users: int


def code_categories(categories: pl.Series) -> tuple[Ragged, int]:
    """Return per item the indices of its different categories, and how many categories there are.

    Args:
        categories: ``List(String) [n_items]``: names, whatever their level.
    """
    distinct = categories.list.unique(maintain_order=True).list.drop_nulls()
    codes = distinct.explode().drop_nulls().rank("dense")
    offsets = np.append(0, np.cumsum(distinct.list.len().to_numpy())).astype(np.int64)
    return Ragged(codes.to_numpy().astype(np.int32) - np.int32(1), offsets), int(codes.n_unique())


def describe_tastes(histories: Ragged, categories: Ragged, n_categories: int) -> Tastes:
    """Return the distributions over categories of ``histories``.

    Each item gives a weight of 1, in equal parts to its categories; items without a category give none (Steck, 2018).
    """
    owners = np.repeat(np.arange(len(histories)), histories.lengths)
    keys, weights = _spread(owners, histories.values, categories, n_categories)
    distinct, places = np.unique(keys, return_inverse=True)
    sums = np.bincount(places, weights, len(distinct))
    totals = np.bincount(distinct // n_categories, sums, len(histories))
    return Tastes(categories, n_categories, distinct, sums / totals[distinct // n_categories], len(histories))


def _spread(
    owners: npt.NDArray[np.int64], items: Indices, categories: Ragged, n_categories: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the key of each (user, category) that an item stands for, and its weight."""
    own = categories.take(items)
    users = np.repeat(owners, own.lengths)
    return users * n_categories + own.values, np.repeat(1.0 / np.maximum(own.lengths, 1), own.lengths)


def measure_miscalibration(lists: Indices, tastes: Tastes) -> PerUser:
    """Return ``float64 [n]``: how far the categories of each list are from those of the user's history, in bits.

    The Kullback-Leibler divergence ``sum_c p(c) log2(p(c) / q'(c))`` of Steck (2018): p is the history's distribution,
    q the list's, and ``q' = (1 - a) q + a p`` with a = :data:`SMOOTHING`. 0 when they are equal, at most
    ``log2(1 / a)``, 6.64 bits, when the list has none of the history's categories. NaN for users whose history or list
    names no category.
    """
    rows, columns = np.nonzero(lists != NONE)
    keys, weights = _spread(rows, lists[rows, columns], tastes.categories, tastes.n_categories)
    totals = np.bincount(keys // tastes.n_categories, weights, tastes.users)
    places = np.searchsorted(tastes.keys, keys)
    hit = places < len(tastes.keys)
    hit[hit] = tastes.keys[places[hit]] == keys[hit]
    owners = tastes.keys // tastes.n_categories
    with np.errstate(invalid="ignore", divide="ignore"):
        q = np.bincount(places[hit], weights[hit], len(tastes.keys)) / totals[owners]
        mixed = (1.0 - SMOOTHING) * q + SMOOTHING * tastes.shares
        bits = np.bincount(owners, tastes.shares * np.log2(tastes.shares / mixed), tastes.users)
    known = np.bincount(owners, minlength=tastes.users) > 0
    # Rounding can leave a divergence a hair below zero.
    return np.where(known & (totals > 0), np.maximum(bits, 0.0), np.nan)


@dataclass(frozen=True)
class ListMetrics:
    """What the lists of one model are like.

    Args:
        of_all: coverage and Gini coefficient: of all lists together, so there is no interval over users.
        per_user: novelty and miscalibration: ``float64 [n]``, NaN where a user has none.
    """

    of_all: dict[Metric, float]
    per_user: dict[Metric, PerUser]


def describe_lists(lists: Indices, popularity: Counts, tastes: Tastes, cutoffs: tuple[int, ...]) -> ListMetrics:
    """Return all metrics of the first k items of each list, for each cutoff k.

    Args:
        lists: ``int32 [n, k]``: best first, k at least the largest cutoff.
        popularity: ``int64 [n_items]``: training interactions of each item.
        tastes: the histories' categories.
        cutoffs: list lengths.
    """
    information = measure_information(popularity)
    of_all: dict[Metric, float] = {}
    per_user: dict[Metric, PerUser] = {}
    for k in cutoffs:
        exposure = count_exposure(lists[:, :k], len(popularity))
        of_all |= {Metric("coverage", k): measure_coverage(exposure), Metric("gini", k): measure_gini(exposure)}
        per_user[Metric("novelty", k)] = measure_novelty(lists[:, :k], information)
        per_user[Metric("miscalibration", k)] = measure_miscalibration(lists[:, :k], tastes)
    return ListMetrics(of_all, per_user)
