"""Running the suites: one Great Expectations checkpoint over frames of facts, turned into plain results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import great_expectations as gx
import polars as pl
from great_expectations.core import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.data_context import AbstractDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig

from pipelines.quality.checks import Check
from pipelines.quality.data_docs import RUN_NAME, seal_site
from pipelines.quality.flags import ROW
from pipelines.quality.verdict import CheckResult

LISTED_ROWS = 10
"""Offending rows named per check."""

Outcomes = dict[tuple[str, str], ExpectationValidationResult]


def run_checks(checks: list[Check], frames: Mapping[str, pl.DataFrame], docs: Path | None = None) -> list[CheckResult]:
    """Run every check over its frame; write the Data Docs site to ``docs``.

    Great Expectations writes values into its pages unescaped, so it is given numbers only; offending ids are
    looked up here. Nothing contacts a network.

    Args:
        checks: what to run, see :func:`pipelines.quality.suites.build_checks`.
        frames: what to run it on, see :func:`pipelines.quality.facts.gather_facts`.
        docs: folder for the static site, new or empty; None for no site.
    """
    with TemporaryDirectory(prefix="illmrec-gate-") as name:
        workspace = Path(name).resolve()
        for frame in sorted({check.frame for check in checks}):
            _export_frame(frames[frame], workspace / f"{frame}.parquet")
        context = _open_context(None if docs is None else workspace / "project")
        outcomes = _run_checkpoint(context, checks, workspace)
        if docs is not None:
            _build_site(context, docs)
            seal_site(docs, workspace)
    return [_read_outcome(check, outcomes[check.suite, check.name], frames[check.frame]) for check in checks]


def _export_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write the numbers of a frame; every string stays behind."""
    frame.select(pl.exclude(pl.String)).write_parquet(path)


def _run_checkpoint(context: AbstractDataContext, checks: list[Check], workspace: Path) -> Outcomes:
    """Run one checkpoint with one validation per suite and frame; return the outcome of each check."""
    source = context.data_sources.add_pandas_filesystem("prepared", base_directory=workspace)
    subjects = dict.fromkeys((check.suite, check.frame) for check in checks)
    assets = {frame: source.add_parquet_asset(frame) for frame in dict.fromkeys(frame for _, frame in subjects)}
    batches = {frame: asset.add_batch_definition_path(frame, f"{frame}.parquet") for frame, asset in assets.items()}
    validations = []
    for suite, frame in subjects:
        name = f"{suite}-{frame}"
        expectations = [c.build_expectation() for c in checks if (c.suite, c.frame) == (suite, frame)]
        added = context.suites.add(gx.ExpectationSuite(name, expectations=expectations))
        definition = gx.ValidationDefinition(name=name, data=batches[frame], suite=added)
        validations.append(context.validation_definitions.add(definition))
    checkpoint = gx.Checkpoint(
        name="gate",
        validation_definitions=validations,
        # With row numbers asked for, every offending row becomes a dictionary: minutes for millions of rows.
        result_format={"result_format": "BASIC", "partial_unexpected_count": LISTED_ROWS},
    )
    run: Any = context.checkpoints.add(checkpoint).run(
        run_id=RunIdentifier(run_name=RUN_NAME, run_time=datetime.fromtimestamp(0, UTC))
    )
    return {
        (validation.suite_name.split("-")[0], outcome.expectation_config.meta["check"]): outcome
        for validation in run.run_results.values()
        for outcome in validation.results
    }


def _open_context(project: Path | None) -> AbstractDataContext:
    """Open a new project, silent and without analytics; without a folder it lives in memory, which is faster."""
    context: AbstractDataContext
    if project is None:
        context = gx.get_context(mode="ephemeral")
    else:
        project.mkdir()
        context = gx.get_context(mode="file", project_root_dir=project)
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


def _build_site(context: AbstractDataContext, docs: Path) -> None:
    """Write the context's suites and validation results as a static site."""
    for site in list(context.list_data_docs_sites()):
        context.delete_data_docs_site(site)
    site_config: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site("docs", site_config)
    context.build_data_docs()


def _read_outcome(check: Check, outcome: ExpectationValidationResult, frame: pl.DataFrame) -> CheckResult:
    if outcome.exception_info.get("raised_exception"):
        raise RuntimeError(f"{check.suite}.{check.name}: {outcome.exception_info.get('exception_message')}")
    found = outcome.result
    count = int(found.get("unexpected_count") or 0)
    observed = count if check.observed == "offending_rows" else found.get("observed_value")
    return CheckResult(
        check.suite,
        check.name,
        check.severity,
        bool(outcome.success),
        None if observed is None else _round(check, float(observed)),
        check.expected,
        check.remedy,
        _describe_rows(frame, check),
        count,
    )


def _round(check: Check, observed: float) -> float:
    return round(observed, 6) if check.observed in ("share", "value") else int(observed)


def _describe_rows(frame: pl.DataFrame, check: Check) -> list[dict[str, Any]]:
    """Return row number, ids and, unless it is a flag, the judged value of the first offending rows."""
    if check.column is None:
        return []
    ids = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    judged = [] if frame.schema[check.column] == pl.Int8 else [check.column]
    return frame.lazy().filter(check.offending).select(ROW, *ids, *judged).head(LISTED_ROWS).collect().to_dicts()
