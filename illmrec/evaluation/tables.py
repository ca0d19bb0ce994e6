"""From ranks and lists of several models to rows of the table of metrics."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from illmrec.evaluation.lists import Counts, Tastes, describe_lists
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric, PerUser, average_by_user, compute_metrics
from illmrec.evaluation.protocol import Cases, Ranked
from illmrec.evaluation.rank import Ranks
from illmrec.evaluation.summary import Resampling, compare_models, estimate_known, estimate_means
from illmrec.evaluation.table import (
    FULL,
    INTACT,
    LISTS,
    Measurement,
    measure_difference,
    measure_mean,
    measure_single,
)

VARIANT_CUTOFFS = (10,)
VARIANT_METRICS = (HIT_10, NDCG_10, MRR)
TIED = Metric("tied_share")
Variant = tuple[str, str | None]
"""What stands in place of the pictures, and where; :data:`INTACT` and None for the model as it is."""


def summarise_ranks(
    ranked: Mapping[str, Ranked],
    cases: Cases,
    named: Mapping[str, npt.NDArray[np.bool_]],
    cutoffs: tuple[int, ...],
    how: Resampling,
) -> list[Measurement]:
    """Return every metric of every protocol with its interval, and all models' paired differences with tests.

    Args:
        ranked: ranks by model.
        cases: users and targets.
        named: protocol -> ``bool [n]``: the users it can rank.
        cutoffs: k of the metrics.
        how: resampling of users.
    """
    rows: list[Measurement] = []
    pairs = list(itertools.combinations(ranked, 2))
    for protocol, users in named.items():
        values = {
            model: {
                metric: each[users] for metric, each in average_metrics(found.ranks[protocol], cases, cutoffs).items()
            }
            for model, found in ranked.items()
        }
        rows += [
            measure_mean(metric, estimate, model=model, protocol=protocol)
            for (model, metric), estimate in estimate_means(values, how).items()
        ]
        rows += [
            measure_difference(metric, difference, model=first, against=second, protocol=protocol)
            for (first, second, metric), difference in compare_models(values, pairs, how).items()
        ]
    tied = {
        model: {TIED: average_by_user(found.tied.astype(np.float64), cases.owners, len(cases))}
        for model, found in ranked.items()
    }
    means = estimate_means(tied, how)
    return rows + [measure_mean(metric, mean, model=model, protocol=FULL) for (model, metric), mean in means.items()]


def average_metrics(ranks: Ranks, cases: Cases, cutoffs: tuple[int, ...]) -> dict[Metric, PerUser]:
    """Return ``float64 [n]`` per metric: each user's mean over the user's targets."""
    metrics = compute_metrics(ranks, cutoffs)
    return {metric: average_by_user(values, cases.owners, len(cases)) for metric, values in metrics.items()}


def summarise_lists(
    ranked: Mapping[str, Ranked], popularity: Counts, tastes: Tastes, cutoffs: tuple[int, ...], how: Resampling
) -> list[Measurement]:
    """Return what each model's lists are like; coverage and Gini coefficient have no interval.

    Args:
        ranked: lists by model.
        popularity: ``int64 [n_items]``: training interactions of each item.
        tastes: the histories' categories.
        cutoffs: list lengths.
        how: resampling of users.
    """
    rows: list[Measurement] = []
    for model, found in ranked.items():
        measured = describe_lists(found.lists, popularity, tastes, cutoffs)
        rows += [
            measure_single(metric, value, model=model, protocol=LISTS) for metric, value in measured.of_all.items()
        ]
        rows += [
            measure_mean(metric, estimate, model=model, protocol=LISTS)
            for metric, estimate in estimate_known(measured.per_user, how).items()
        ]
    return rows


def summarise_variants(
    model: str, intact: Ranks, variants: Mapping[Variant, Ranks], cases: Cases, how: Resampling
) -> list[Measurement]:
    """Return metrics of variants of one model on the full catalog, and their paired differences to the intact model.

    Args:
        model: the model's name.
        intact: ``float64 [c]``: its ranks.
        variants: what stands in place of the pictures, and where -> ``float64 [c]``: ranks.
        cases: users and targets.
        how: resampling of users.
    """
    original: Variant = (INTACT, None)
    ranks: dict[Variant, Ranks] = {original: intact, **variants}
    values = {}
    for variant, found in ranks.items():
        metrics = average_metrics(found, cases, VARIANT_CUTOFFS)
        values[variant] = {metric: metrics[metric] for metric in VARIANT_METRICS}
    pairs = [(variant, original) for variant in values if variant != original]
    means = [
        measure_mean(metric, estimate, model=model, variant=variant, place=place)
        for ((variant, place), metric), estimate in estimate_means(values, how).items()
    ]
    return means + [
        measure_difference(metric, difference, model=model, variant=variant, place=place, against=INTACT)
        for ((variant, place), _, metric), difference in compare_models(values, pairs, how).items()
    ]
