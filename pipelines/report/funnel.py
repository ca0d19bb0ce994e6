"""The data funnel: from raw rows to the parts of the split, and what was dropped on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from illmrec.data.splitting.leave_one_out import SHORTEST
from pipelines.report.reading import Facts

Kind = Literal["kept", "dropped", "part"]


@dataclass(frozen=True)
class FunnelStep:
    """One row of the funnel.

    Args:
        label: what the rows are.
        rows: interactions.
        kind: ``kept`` is what is left so far, ``dropped`` what a rule removed, ``part`` a part of the split.
        why: why they were dropped, or what they are for.
    """

    label: str
    rows: int
    kind: Kind
    why: str


@dataclass(frozen=True)
class Funnel:
    """The funnel of interactions, and further counts as (label, number) pairs."""

    steps: tuple[FunnelStep, ...]
    counts: tuple[tuple[str, int], ...]
    is_split: bool


def build_funnel(prepared: Facts, split: Facts | None) -> Funnel:
    """Return the funnel from the summaries of ``prepare`` and, where it has run, ``split``.

    Rows that the readers set aside are what the raw count holds and no later count does.

    Raises:
        DataError: when a summary lacks a count, or the counts contradict each other.
    """
    raw, before = prepared.count("raw_interaction_rows"), prepared.count("interactions_before_core")
    duplicates = prepared.count("duplicate_interactions_dropped")
    repeats = prepared.count("repeated_interactions_dropped")
    below, core = prepared.count("interactions_below_core"), prepared.count("interactions")
    malformed = raw - duplicates - repeats - before
    if malformed < 0 or before != below + core:
        raise prepared.refuse("the counts of interactions contradict each other")
    steps = [
        FunnelStep("Raw rows", raw, "kept", "lines of the publisher's interaction files"),
        FunnelStep("Malformed", malformed, "dropped", "could not be read; listed in rejected.parquet"),
        FunnelStep("Duplicates", duplicates, "dropped", "same user, item and time as another row"),
        FunnelStep("Repeats", repeats, "dropped", "the user already had the item at an earlier time"),
        FunnelStep("Below the core", below, "dropped", "user or item with too few interactions"),
        FunnelStep("Interactions", core, "kept", "what the split starts from"),
    ]
    if split is not None:
        steps += _build_parts(core, split)
    return Funnel(tuple(steps), _list_counts(prepared, split), split is not None)


def _build_parts(core: int, split: Facts) -> list[FunnelStep]:
    users, train, targets = split.count("users"), split.count("train_interactions"), split.count("test_targets")
    aside = core - train - users - targets
    if aside < 0:
        raise split.refuse("it has more interactions than the prepared tables")
    if split.values.get("method") == "global_time":
        moment = split.values.get("cutoff")
        return [
            FunnelStep("Put aside", aside, "dropped", f"of users or items that are new after {moment}, or repeated"),
            FunnelStep("Training", train, "part", f"all before {moment} but the last of each user"),
            FunnelStep("Validation targets", users, "part", "the last before it of each user; chooses the model"),
            FunnelStep("Test targets", targets, "part", "all after it; hidden until evaluation"),
        ]
    return [
        FunnelStep("Put aside", aside, "dropped", f"users with fewer than {SHORTEST} interactions"),
        FunnelStep("Training", train, "part", "all but the last two of each user"),
        FunnelStep("Validation targets", users, "part", "the second last of each user; chooses the model"),
        FunnelStep("Test targets", targets, "part", "the last of each user; hidden until evaluation"),
    ]


def _list_counts(prepared: Facts, split: Facts | None) -> tuple[tuple[str, int], ...]:
    labels = {
        "users_with_interactions": "Users in the raw interactions",
        "users": "Users kept",
        "items_with_interactions": "Items in the raw interactions",
        "items": "Items kept",
        "items_without_row": "Items without a row of metadata",
        "items_without_image": "Items without a readable picture",
        "empty_titles": "Items without a title",
        "empty_descriptions": "Items without a description",
    }
    counts = [(label, prepared.count(key)) for key, label in labels.items()]
    if split is not None:
        counts.append(("Sampled negatives per user", split.count("negatives_per_user")))
    return tuple(counts)
