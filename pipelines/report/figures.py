"""Numbers of the evaluation as the report's parts share them: models, intervals, signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.report.reading import Facts

OURS, RIVAL = "illmrec", "sasrec"
MODELS = {OURS: "I-LLMRec", RIVAL: "SASRec", "popularity": "Popularity"}


@dataclass(frozen=True)
class Interval:
    """A mean over users with the ends of its bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """Return -1 or 1 where the whole interval is below or above zero, else 0."""
        return (self.low > 0) - (self.high < 0)


def read_interval(metrics: Facts, key: str) -> Interval:
    """Return a metric with its interval; raises DataError where one of the three is missing or no number."""
    return Interval(metrics.number(key), metrics.number(f"{key}.low"), metrics.number(f"{key}.high"))


def find_best(models: Mapping[str, Interval]) -> frozenset[str]:
    """Return the models with the highest value; none where all have the same."""
    values = {interval.value for interval in models.values()}
    return frozenset(model for model, interval in models.items() if len(values) > 1 and interval.value == max(values))


def signed(value: float, digits: int = 4) -> str:
    """Return a number with its sign, a true minus among them; what rounds to zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def show_p(value: float) -> str:
    """Return a p-value in words."""
    return "below 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
