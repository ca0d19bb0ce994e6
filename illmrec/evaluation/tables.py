"""From ranks and lists of several models to named figures; see :mod:`illmrec.evaluation.keys` for the names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from illmrec.evaluation.keys import (
    INTACT,
    flatten_differences,
    flatten_estimate,
    flatten_estimates,
    name_variant,
)
from illmrec.evaluation.lists import Counts, Tastes, describe_lists
from illmrec.evaluation.metrics import PerUser, average_by_user, compute_metrics
from illmrec.evaluation.protocol import Cases, Ranked
from illmrec.evaluation.rank import Ranks
from illmrec.evaluation.summary import Resampling, compare_models, estimate_known, estimate_means

VARIANT_CUTOFFS = (10,)
VARIANT_METRICS = ("hit@10", "ndcg@10", "mrr")


def summarise_ranks(
    ranked: Mapping[str, Ranked],
    cases: Cases,
    named: Mapping[str, npt.NDArray[np.bool_]],
    cutoffs: tuple[int, ...],
    how: Resampling,
) -> dict[str, float]:
    """Return every metric of every protocol with its interval, and all models' paired differences with tests.

    Args:
        ranked: ranks by model.
        cases: users and targets.
        named: protocol -> ``bool [n]``: the users it can rank.
        cutoffs: k of the metrics.
        how: resampling of users.
    """
    result: dict[str, float] = {}
    pairs = list(itertools.combinations(ranked, 2))
    for protocol, users in named.items():
        values = {
            model: {
                name: metric[users] for name, metric in average_metrics(found.ranks[protocol], cases, cutoffs).items()
            }
            for model, found in ranked.items()
        }
        result |= flatten_estimates(protocol, estimate_means(values, how))
        result |= flatten_differences(protocol, compare_models(values, pairs, how))
    tied = {
        model: {"tied_share": average_by_user(found.tied.astype(np.float64), cases.owners, len(cases))}
        for model, found in ranked.items()
    }
    return result | flatten_estimates("full", estimate_means(tied, how))


def average_metrics(ranks: Ranks, cases: Cases, cutoffs: tuple[int, ...]) -> dict[str, PerUser]:
    """Return ``float64 [n]`` per metric: each user's mean over the user's targets."""
    metrics = compute_metrics(ranks, cutoffs)
    return {name: average_by_user(values, cases.owners, len(cases)) for name, values in metrics.items()}


def summarise_lists(
    ranked: Mapping[str, Ranked], popularity: Counts, tastes: Tastes, cutoffs: tuple[int, ...], how: Resampling
) -> dict[str, float]:
    """Return what each model's lists are like; coverage and Gini coefficient have no interval.

    Args:
        ranked: lists by model.
        popularity: ``int64 [n_items]``: training interactions of each item.
        tastes: the histories' categories.
        cutoffs: list lengths.
        how: resampling of users.
    """
    result: dict[str, float] = {}
    for model, found in ranked.items():
        facts = describe_lists(found.lists, popularity, tastes, cutoffs)
        result |= {f"{model}/lists/{name}": value for name, value in facts.of_all.items()}
        for name, estimate in estimate_known(facts.per_user, how).items():
            result |= flatten_estimate(f"{model}/lists/{name}", estimate)
    return result


def summarise_variants(
    model: str, intact: Ranks, variants: Mapping[str, Ranks], cases: Cases, how: Resampling
) -> dict[str, float]:
    """Return metrics of variants of one model on the full catalog, and their paired differences to the intact model.

    Args:
        model: the model's name.
        intact: ``float64 [c]``: its ranks.
        variants: name -> ``float64 [c]``: ranks of each variant.
        cases: users and targets.
        how: resampling of users.
    """
    original = name_variant(model, INTACT)
    ranks = {original: intact} | {name_variant(model, name): found for name, found in variants.items()}
    values = {}
    for name, found in ranks.items():
        metrics = average_metrics(found, cases, VARIANT_CUTOFFS)
        values[name] = {metric: metrics[metric] for metric in VARIANT_METRICS}
    pairs = [(name, original) for name in values if name != original]
    return flatten_estimates("full", estimate_means(values, how)) | flatten_differences(
        "full", compare_models(values, pairs, how)
    )
