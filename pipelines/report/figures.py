"""What the report's parts share: the models, which is best, how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping

from illmrec.evaluation.summary import Estimate

OURS, RIVAL = "illmrec", "sasrec"
MODELS = {OURS: "I-LLMRec", RIVAL: "SASRec", "popularity": "Popularity"}


def find_best(models: Mapping[str, Estimate]) -> frozenset[str]:
    """Return the models with the highest value; none where all have the same."""
    values = {estimate.value for estimate in models.values()}
    return frozenset(model for model, estimate in models.items() if len(values) > 1 and estimate.value == max(values))


def signed(value: float, digits: int = 4) -> str:
    """Return a number with its sign, a true minus among them; what rounds to zero has none."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "\N{MINUS SIGN}") + text


def show_p(value: float) -> str:
    """Return a p-value in words."""
    return "below 0.0001" if value < 0.0001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"
