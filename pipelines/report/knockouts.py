"""Are pictures and titles used? I-LLMRec with wrong ones beside the intact model."""

from __future__ import annotations

from dataclasses import dataclass

from illmrec.evaluation.metrics import NDCG_10
from illmrec.evaluation.summary import Estimate
from illmrec.evaluation.table import FULL, INTACT, MetricsTable
from pipelines.report.figures import OURS, show_p, signed

LABEL = "NDCG@10"
PLACES = {"prompt": "in the prompt", "retrieval": "in the retrieval head", "both": "in both", "titles": "in the prompt"}
WRONGS = {
    "shuffled": "another item's picture",
    "constant": "the mean picture",
    "noise": "noise",
    "left out": "nothing",
}
ALPHA = 0.05


@dataclass(frozen=True)
class KnockoutRow:
    """One way to take the pictures away, or the titles.

    Args:
        place: where: a key of :data:`PLACES`.
        wrong: what stands there: a key of :data:`WRONGS`.
        value: NDCG@10.
        difference: to the intact model, paired by user.
        holm: p-value, corrected for all that was tried.
    """

    place: str
    wrong: str
    value: Estimate
    difference: Estimate
    holm: float

    @property
    def label(self) -> str:
        """Where and what."""
        return f"{PLACES[self.place]}: {self.substitute}"

    @property
    def subject(self) -> str:
        """What was taken away: ``pictures`` or ``titles``."""
        return "titles" if self.place == "titles" else "pictures"

    @property
    def substitute(self) -> str:
        """What stands in their place."""
        if self.subject == "titles":
            return {"shuffled": "another item's title", "left out": "no titles"}[self.wrong]
        return WRONGS[self.wrong]

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
    intact: Estimate
    rows: tuple[KnockoutRow, ...]
    verdict: tuple[str, ...]


def read_knockouts(metrics: MetricsTable) -> Knockouts | None:
    """Return what the evaluation says about wrong pictures and titles; None where they were not tried."""
    means = metrics.select(NDCG_10, model=OURS, against=None, protocol=FULL)
    measured = {(row.place, row.variant) for row in means}
    tried = [(place, wrong) for place in PLACES for wrong in WRONGS if (place, wrong) in measured]
    if not tried:
        return None
    rows = tuple(_read_row(metrics, place, wrong) for place, wrong in tried)
    places = dict.fromkeys(place for place, _ in tried)
    verdict = tuple(judge_place([row for row in rows if row.place == place]) for place in places)
    intact = metrics.interval(NDCG_10, model=OURS, variant=INTACT)
    return Knockouts(metrics.count("knockout_users"), intact, rows, verdict)


def _read_row(metrics: MetricsTable, place: str, wrong: str) -> KnockoutRow:
    value = metrics.interval(NDCG_10, model=OURS, variant=wrong, place=place)
    gap = metrics.compare(NDCG_10, model=OURS, variant=wrong, place=place, against=INTACT)
    return KnockoutRow(place, wrong, value, gap.estimate, gap.holm)


def judge_place(rows: list[KnockoutRow]) -> str:
    """Return what the wrong ones in one place show, from the row of shuffled ones, else from the first."""
    row = next((row for row in rows if row.wrong == "shuffled"), rows[0])
    span = f"{signed(row.difference.low)} to {signed(row.difference.high)}, corrected p {row.shown_p}"
    changed = f"With {row.substitute} {PLACES[row.place]}, {LABEL} changes by {signed(row.difference.value)} ({span})"
    if row.holm > ALPHA or not row.difference.side:
        return f"{changed}: no sign that the {row.subject} there are used."
    used = f"the {row.subject} there {'are used' if row.difference.side < 0 else 'do harm'}"
    return f"{changed}: {used}."
