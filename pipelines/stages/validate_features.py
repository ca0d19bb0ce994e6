"""Stage ``validate-features``: the gate behind the encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.features.matrix import FeatureMatrix
from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.project.context import Context
from pipelines.project.shelf import Shelf
from pipelines.quality.comparison import PictureTextComparison
from pipelines.quality.flags import ROW
from pipelines.quality.matrix_facts import describe_matrix, describe_rows
from pipelines.quality.pairs import describe_pairs, summarize_pairs
from pipelines.quality.verdict import DOCS_INDEX, GATE_FILE, CheckResult, describe_gate
from pipelines.stages import Facts, stage

KINDS = ("image", "text")
WORST_PAIRS = "worst_pairs.parquet"


@stage("validate_features")
def run(context: Context) -> tuple[list[CheckResult], Facts]:
    """Judge the feature matrices of the data set; return the result of each check and what to print, passed or not."""
    return run_feature_gate(context.shelf, context.section(ValidateFeaturesConfig))


def run_feature_gate(shelf: Shelf, bounds: ValidateFeaturesConfig) -> tuple[list[CheckResult], dict[str, Any]]:
    """Judge the matrices; publish gate.json, Data Docs and the worst pairs; return the results and what to print.

    Raises:
        MissingArtifactError: when a stage before has not run.
        ModelError: when a matrix is damaged or belongs to another catalog.
    """
    layout, catalog = shelf.layout, shelf.catalog
    matrices = shelf.open_features(*KINDS)
    pairs = PictureTextComparison(shelf, bounds, catalog, matrices["image"])
    frames, absent = _gather_frames(catalog, matrices, pairs, bounds)

    # Great Expectations takes seconds to import, so what fails sooner goes first.
    from pipelines.quality.data_docs import write_index
    from pipelines.quality.feature_suite import build_feature_checks
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import choose_runnable

    checks, skipped = choose_runnable(build_feature_checks(bounds), absent)
    with atomic.write_folder(layout.feature_quality) as folder:
        docs = (folder / DOCS_INDEX).parent
        results = run_checks(checks, frames, docs)
        verdict = describe_gate(results, {kind: len(catalog) for kind in KINDS}, skipped)
        figures = summarize_pairs(pairs.pairs) if pairs.pairs else {}
        verdict["pairs"] = figures
        write_index(docs, verdict, "Feature quality gate")
        atomic.write_json(folder / GATE_FILE, verdict)
        _write_worst(folder / WORST_PAIRS, frames.get("pairs"), bounds.listed_pairs)
    return results, {
        "passed": verdict["passed"],
        "critical_failures": verdict["critical_failures"],
        "warnings": verdict["warnings"],
        "checks": len(results),
        "not_checked": "; ".join(dict.fromkeys(f"{check.suite}: {check.reason}" for check in skipped)) or "nothing",
        **figures,
        "gate": str(layout.feature_quality / GATE_FILE),
        "data_docs": str(layout.feature_quality / DOCS_INDEX),
    }


def _gather_frames(
    catalog: Catalog,
    matrices: dict[str, FeatureMatrix],
    compared: PictureTextComparison,
    bounds: ValidateFeaturesConfig,
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Return the frames to judge, and why others could not be made."""
    frames: dict[str, pl.DataFrame] = {}
    absent: dict[str, str] = {}
    for kind, matrix in matrices.items():
        frames[f"{kind}_rows"] = describe_rows(matrix, catalog.item_ids)
        whole = describe_matrix(matrix)
        if whole is None:
            absent[f"{kind}_matrix"] = "fewer than two items have a row of their own"
        else:
            frames[f"{kind}_matrix"] = whole
    compared.run()
    if compared.pairs is None:
        return frames, absent | dict.fromkeys(("pairs", "pair_summary"), compared.reason)
    frames["pairs"] = describe_pairs(compared.pairs, compared.items, catalog.item_ids, bounds.outlier_percentile)
    frames["pair_summary"] = pl.DataFrame({ROW: [1], "auc": [compared.pairs.auc]})
    return frames, absent


def _write_worst(path: Path, pairs: pl.DataFrame | None, count: int) -> None:
    """Write the least similar pairs; an empty table where none were compared."""
    schema = {"item_id": pl.String, "similarity": pl.Float64, "percentile": pl.Float64, "outlier": pl.Int8}
    worst = pl.DataFrame(schema=schema) if pairs is None else pairs.select(list(schema)).head(count)
    atomic.write_parquet(path, worst)
