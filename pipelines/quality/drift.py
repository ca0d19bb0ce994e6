"""How far one data profile is from another: one number and one verdict for each field.

The population stability index (PSI) of two histograms is the sum over bins of (new - old) * ln(new / old); by custom,
below 0.1 is calm and above 0.25 another population. The total variation distance of two sets of shares is half the sum
of their differences: the share of rows that would have to change place to make one the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.parameters.data import DriftConfig

SMALLEST_SHARE = 1e-4
"""Stands for an empty bin, whose logarithm has no value."""

Measure = Literal["psi", "distance", "loss"]
Level = Literal["ok", "warning", "critical"]


@dataclass(frozen=True)
class FieldDrift:
    """What became of one field.

    ``largest`` names the bin, name or count that moved most, with its old and new value.
    """

    field: str
    measure: Measure
    value: float
    warn: float
    limit: float
    level: Level
    largest: str


def compare_profiles(old: Mapping[str, Any], new: Mapping[str, Any], bounds: DriftConfig) -> list[FieldDrift]:
    """Return the drift of every field, in the profile's order.

    Args:
        old: the profile to compare with (:func:`pipelines.quality.profile.build_profile`).
        new: the profile of the data at hand.
        bounds: where a warning and a critical finding begin.

    Raises:
        KeyError, TypeError, ValueError: when one of them is no such profile, or the fields differ.
    """
    return [*_compare_counts(old, new, bounds), *_compare_numbers(old, new, bounds), *_compare_names(old, new, bounds)]


def _compare_counts(old: Mapping[str, Any], new: Mapping[str, Any], bounds: DriftConfig) -> Iterator[FieldDrift]:
    for name in ("users", "items", "interactions"):
        before, after = int(old["counts"][name]), int(new["counts"][name])
        loss = max(0.0, 1.0 - after / before) if before else 0.0
        moved = f"{before:,} -> {after:,}"
        yield _judge(name, "loss", loss, bounds.warn_loss, bounds.max_loss, moved)


def _compare_numbers(old: Mapping[str, Any], new: Mapping[str, Any], bounds: DriftConfig) -> Iterator[FieldDrift]:
    for name, field in new["numbers"].items():
        before = old["numbers"][name]
        if before["edges"] != field["edges"]:
            raise ValueError(f"the bins of {name} differ")
        if not before["rows"] and not field["rows"]:
            continue
        parts = [_stability(a, b) for a, b in zip(before["shares"], field["shares"], strict=True)]
        most = max(range(len(parts)), key=parts.__getitem__)
        moved = f"{_name_bin(field['edges'], most)}: {before['shares'][most]:.1%} -> {field['shares'][most]:.1%}"
        yield _judge(name, "psi", sum(parts), bounds.warn_psi, bounds.max_psi, moved)


def _compare_names(old: Mapping[str, Any], new: Mapping[str, Any], bounds: DriftConfig) -> Iterator[FieldDrift]:
    for field, after in new["names"].items():
        before = old["names"][field]
        moves = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in sorted({*before, *after})}
        most = max(moves, key=lambda name: abs(moves[name]), default="")
        distance = sum(abs(move) for move in moves.values()) / 2
        moved = f"{most!r}: {before.get(most, 0.0):.1%} -> {after.get(most, 0.0):.1%}"
        yield _judge(field, "distance", distance, bounds.warn_distance, bounds.max_distance, moved)


def _stability(old: float, new: float) -> float:
    """Return one bin's part of the population stability index; never negative."""
    old, new = max(float(old), SMALLEST_SHARE), max(float(new), SMALLEST_SHARE)
    return (new - old) * math.log(new / old)


def _name_bin(edges: Sequence[int], place: int) -> str:
    if place == 0:
        return f"below {edges[0]}"
    return f"{edges[place - 1]} or more" if place == len(edges) else f"{edges[place - 1]} to {edges[place] - 1}"


def _judge(field: str, measure: Measure, value: float, warn: float, limit: float, largest: str) -> FieldDrift:
    if not math.isfinite(value):
        raise ValueError(f"the shares of {field} are no finite numbers")
    level: Level = "critical" if value > limit else "warning" if value > warn else "ok"
    return FieldDrift(field, measure, round(value, 6), warn, limit, level, largest)
