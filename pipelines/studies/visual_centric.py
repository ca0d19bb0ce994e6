"""Pictures against attributes, beside how much pictures and descriptions of a catalog say the same."""

from __future__ import annotations

from pipelines.studies.overall import METRIC_COLUMNS, make_case, rank_rivals
from pipelines.studies.plots import bars
from pipelines.studies.similarity import compare
from pipelines.studies.study import Bench, Row, Study


def measure(bench: Bench) -> list[Row]:
    """Train pictures and attributes; every row carries the catalog's similarity."""
    pairs = compare(bench)
    about = {"similarity_auc": None if pairs is None else pairs.auc}
    rows = bench.rows(make_case(name) for name in ("image", "attribute"))
    return [row | about for row in [*rows, *rank_rivals(bench)]]


STUDY = Study(
    title="Visual-centric catalogs",
    question="Pictures against attributes on this catalog, and how well its pictures and descriptions belong together "
    "(chance that an item's own description is closer to its picture than another item's; 0.5 is none).",
    paper="Table 5",
    measure=measure,
    shown=("model", *METRIC_COLUMNS, "similarity_auc"),
    draw=bars("model", "ndcg@10", "NDCG@10, full catalog", colour="kind"),
)
