"""Stage ``validate``: the data quality gate."""

from __future__ import annotations

import time

from illmrec import atomic
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.quality.data_docs import write_index
from pipelines.quality.facts import gather_facts
from pipelines.quality.profile import PROFILE_FILE, build_profile
from pipelines.quality.tables import read_tables
from pipelines.quality.verdict import (
    DOCS_INDEX,
    GATE_FILE,
    CheckResult,
    NotChecked,
    describe_gate,
)
from pipelines.stages import Facts, stage


@stage("validate")
def run(context: Context) -> tuple[list[CheckResult], Facts]:
    """Judge the tables of the data set; return the result of each check and what to print, passed or not."""
    results, skipped = run_gate(context.layout, context.section(ValidateConfig), context.section(PrepareConfig))
    verdict = describe_gate(results, {}, skipped)
    return results, {
        "passed": verdict["passed"],
        "critical_failures": verdict["critical_failures"],
        "warnings": verdict["warnings"],
        "checks": len(results),
        "not_checked": len(skipped),
        "gate": str(context.layout.quality / GATE_FILE),
        "data_docs": str(context.layout.quality / DOCS_INDEX),
    }


def run_gate(
    layout: Layout, bounds: ValidateConfig, prepared: PrepareConfig
) -> tuple[list[CheckResult], list[NotChecked]]:
    """Run the suites over the prepared tables; publish gate.json, profile.json and the Data Docs.

    Returns:
        The result of each check, and the checks that had nothing to look at.

    Raises:
        MissingArtifactError: when ``prepare`` has not run.
        DataError: when a table is not readable.
    """
    tables = read_tables(layout.prepared)
    facts = gather_facts(tables, bounds, repeats=prepared.repeats, now=int(time.time()))

    # Great Expectations takes seconds to import, so what fails sooner goes first.
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import build_checks, choose_runnable

    checks, skipped = choose_runnable(build_checks(bounds, prepared), facts.absent)

    with atomic.write_folder(layout.quality) as folder:
        docs = (folder / DOCS_INDEX).parent
        results = run_checks(checks, facts.frames, docs)
        verdict = describe_gate(results, {name: table.height for name, table in tables.items()}, skipped)
        write_index(docs, verdict)
        atomic.write_json(folder / GATE_FILE, verdict)
        atomic.write_json(folder / PROFILE_FILE, build_profile(tables))
    return results, skipped
