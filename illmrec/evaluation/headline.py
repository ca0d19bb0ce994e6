"""An evaluation in about ten numbers, for whoever compares runs side by side."""

from __future__ import annotations

from illmrec.evaluation.metrics import Metric
from illmrec.evaluation.table import CASES, FULL, LISTS, MetricsTable

CUTOFF = 10
DIGITS = 4
"""Decimals that are kept: the intervals are far wider, and a table of several runs has room for no more."""
WITHOUT_PICTURE = Metric("targets_without_image_share")


def summarise_evaluation(metrics: MetricsTable, ours: str, rival: str, baseline: str) -> dict[str, float]:
    """Return the numbers by flat names, short ones: DVC's table has a column for each.

    All are of the full catalog, at ten or at the largest cutoff k there is. ``ndcgK`` and ``hitK`` are of the model,
    ``rival_...`` of its rival and ``pop_...`` of the baseline; ``gap`` is the paired difference of NDCG to the rival,
    ``gap_low`` and ``gap_high`` the ends of its interval; ``coverage`` is the share of the catalog in anyone's list,
    ``no_picture`` the share of the test targets without one.

    Raises:
        DataError: when one of them was not measured.
    """
    rows = metrics.select(model=ours, variant=None, against=None, protocol=FULL)
    cutoffs = [row.cutoff for row in rows if row.metric == "ndcg" and row.cutoff is not None]
    k = CUTOFF if CUTOFF in cutoffs else max(cutoffs, default=CUTOFF)
    ndcg, hit = Metric("ndcg", k), Metric("hit", k)
    summary = {f"{metric.name}{k}": metrics.value(metric, model=ours) for metric in (ndcg, hit)}
    for prefix, model in (("rival", rival), ("pop", baseline)):
        summary |= {f"{prefix}_{metric.name}": metrics.value(metric, model=model) for metric in (ndcg, hit)}
    gap = metrics.interval(ndcg, model=ours, against=rival)
    summary |= {"gap": gap.value, "gap_low": gap.low, "gap_high": gap.high}
    summary["coverage"] = metrics.value(Metric("coverage", k), model=ours, protocol=LISTS)
    summary["no_picture"] = metrics.value(WITHOUT_PICTURE, protocol=CASES)
    return {name: round(value, DIGITS) for name, value in summary.items()}
