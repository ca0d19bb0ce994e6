"""Groups of test cases, to see where a model is good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illmrec.data.histories import sort_distinct
from illmrec.evaluation.metrics import HIT_10, NDCG_10, Metric, PerUser, compute_metrics
from illmrec.evaluation.protocol import Cases
from illmrec.evaluation.rank import Ranks
from illmrec.evaluation.summary import Estimate, Resampling, estimate_ratios

Flags = npt.NDArray[np.bool_]
CUTOFF = 10
METRICS = (HIT_10, NDCG_10)
QUINTILES = 5


@dataclass(frozen=True)
class Slice:
    """A group of cases.

    Args:
        group: what is told apart, for example ``target's popularity``.
        name: which of its groups.
        members: ``bool [c]``: the cases in it.
    """

    group: str
    name: str
    members: Flags


@dataclass(frozen=True)
class SliceRow:
    """How one model does on one slice.

    Args:
        slice: the group of cases.
        model: the model.
        estimates: metric -> mean over the slice's cases, with its interval over users.
    """

    slice: Slice
    model: str
    estimates: Mapping[Metric, Estimate]


def divide_cases(
    cases: Cases, popularity: npt.NDArray[np.int64], pictured: Flags, history_bins: tuple[int, ...]
) -> list[Slice]:
    """Return the groups of cases that have members.

    Args:
        cases: users, histories, targets.
        popularity: ``int64 [n_items]``: training interactions of each item.
        pictured: ``bool [n_items]``: items with a picture of their own.
        history_bins: lengths at which the groups by history length begin, ascending, beside the first.
    """
    targets, lengths = cases.targets.values, cases.histories.lengths[cases.owners]
    repeated = find_repeats(cases)
    slices = [
        *_divide_popularity(popularity[targets]),
        Slice("target in training", "seen", popularity[targets] > 0),
        Slice("target in training", "unseen", popularity[targets] == 0),
        *_divide_lengths(lengths, history_bins),
        Slice("target's picture", "present", pictured[targets]),
        Slice("target's picture", "missing", ~pictured[targets]),
        Slice("target in the history", "new", ~repeated),
        Slice("target in the history", "repeat", repeated),
    ]
    return [part for part in slices if part.members.any()]


def find_repeats(cases: Cases) -> Flags:
    """Return ``bool [c]``: whether a target stands in its user's history."""
    histories, targets = cases.histories, cases.targets
    width = np.int64(max(histories.values.max(initial=0), targets.values.max(initial=0)) + 1)
    known = sort_distinct(np.repeat(np.arange(len(histories)), histories.lengths) * width + histories.values)
    wanted = cases.owners * width + targets.values
    places = np.searchsorted(known, wanted)
    found = np.zeros(len(wanted), dtype=np.bool_)
    inside = places < len(known)
    found[inside] = known[places[inside]] == wanted[inside]
    return found


def _divide_popularity(popularity: npt.NDArray[np.int64]) -> list[Slice]:
    """Return fifths of the targets by popularity, the least popular first; equally popular ones stay together."""
    ranks = np.quantile(popularity, np.arange(1, QUINTILES) / QUINTILES, method="inverted_cdf")
    fifths = np.searchsorted(np.unique(ranks), popularity, side="left")
    return [
        Slice("target's popularity", _name_range(popularity[fifths == fifth]), fifths == fifth)
        for fifth in np.unique(fifths)
    ]


def _name_range(values: npt.NDArray[np.int64]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _divide_lengths(lengths: npt.NDArray[np.int64], bins: tuple[int, ...]) -> list[Slice]:
    numbers = np.searchsorted(np.array(bins), lengths, side="right")
    edges = [0, *bins]
    names = [f"{low} to {high - 1}" if low < high - 1 else f"{low}" for low, high in zip(edges, bins, strict=False)]
    names.append(f"{edges[-1]} or more")
    return [Slice("history length", name, numbers == number) for number, name in enumerate(names)]


def measure_slices(slices: list[Slice], cases: Cases, ranks: Mapping[str, Ranks], how: Resampling) -> list[SliceRow]:
    """Return a row for each slice and model, slice by slice.

    Args:
        slices: groups of cases.
        cases: the cases.
        ranks: model -> ``float64 [c]``: full-catalog ranks.
        how: resampling of users.
    """
    owners, users = cases.owners, len(cases)
    above: list[PerUser] = []
    counts: list[PerUser] = []
    for part in slices:
        mine = owners[part.members]
        count = np.bincount(mine, minlength=users).astype(np.float64)
        for found in ranks.values():
            values = compute_metrics(found[part.members], (CUTOFF,))
            above += [np.asarray(np.bincount(mine, values[metric], users), dtype=np.float64) for metric in METRICS]
            counts += [count] * len(METRICS)
    estimates = iter(estimate_ratios(above, counts, how) if above else [])
    return [
        SliceRow(part, model, {metric: next(estimates) for metric in METRICS}) for part in slices for model in ranks
    ]
