"""Is the picture used? I-LLMRec with wrong pictures beside the intact model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.report.figures import OURS, Interval, read_interval, show_p, signed
from pipelines.report.reading import Facts

METRIC, LABEL = "ndcg@10", "NDCG@10"
PLACES = {"prompt": "in the prompt", "retrieval": "in the retrieval head", "both": "in both"}
WRONGS = {"shuffled": "another item's picture", "constant": "the mean picture", "noise": "noise"}
ALPHA = 0.05


@dataclass(frozen=True)
class KnockoutRow:
    """One way to take the pictures away.

    Args:
        place: where: a key of :data:`PLACES`.
        wrong: what stands there: a key of :data:`WRONGS`.
        value: NDCG@10.
        difference: to the intact model, paired by user.
        holm: p-value, corrected for all that was tried.
    """

    place: str
    wrong: str
    value: Interval
    difference: Interval
    holm: float

    @property
    def label(self) -> str:
        """Where and what."""
        return f"{PLACES[self.place]}: {WRONGS[self.wrong]}"

    @property
    def short(self) -> str:
        """Where and what, for a chart."""
        return f"{self.wrong}, {self.place}"

    @property
    def shown_p(self) -> str:
        """The p-value as text."""
        return show_p(self.holm)


@dataclass(frozen=True)
class Knockouts:
    """All that was tried.

    Args:
        users: how many users were looked at.
        intact: NDCG@10 of the intact model for them.
        rows: by place, then by what stands there; empty where nothing was tried.
        verdict: a sentence for each place.
    """

    users: int
    intact: Interval
    rows: tuple[KnockoutRow, ...]
    verdict: tuple[str, ...]


def read_knockouts(metrics: Facts) -> Knockouts | None:
    """Return what metrics.json says about wrong pictures; None where they were not tried."""
    found = [re.fullmatch(rf"{OURS}\[images (\w+) in (\w+)\]/full/{METRIC}", key) for key in metrics.values]
    named = {(match[2], match[1]) for match in found if match}
    tried = [(place, wrong) for place in PLACES for wrong in WRONGS if (place, wrong) in named]
    if not tried:
        return None
    intact = f"{OURS}[intact]"
    rows = tuple(_read_row(metrics, place, wrong, intact) for place, wrong in tried)
    places = dict.fromkeys(place for place, _ in tried)
    verdict = tuple(judge_place([row for row in rows if row.place == place]) for place in places)
    users = metrics.count("cases/knockout_users")
    return Knockouts(users, read_interval(metrics, f"{intact}/full/{METRIC}"), rows, verdict)


def _read_row(metrics: Facts, place: str, wrong: str, intact: str) -> KnockoutRow:
    name = f"{OURS}[images {wrong} in {place}]"
    gap = f"{name}-{intact}/full/{METRIC}"
    return KnockoutRow(
        place,
        wrong,
        read_interval(metrics, f"{name}/full/{METRIC}"),
        read_interval(metrics, gap),
        metrics.number(f"{gap}.holm"),
    )


def judge_place(rows: list[KnockoutRow]) -> str:
    """Return what the wrong pictures in one place show, from the row of shuffled ones, else from the first."""
    row = next((row for row in rows if row.wrong == "shuffled"), rows[0])
    span = f"{signed(row.difference.low)} to {signed(row.difference.high)}, corrected p {row.shown_p}"
    changed = (
        f"With {WRONGS[row.wrong]} {PLACES[row.place]}, {LABEL} changes by {signed(row.difference.value)} ({span})"
    )
    if row.holm > ALPHA or not row.difference.side:
        return f"{changed}: no sign that the pictures there are used."
    used = "the pictures there are used" if row.difference.side < 0 else "the pictures there do harm"
    return f"{changed}: {used}."
