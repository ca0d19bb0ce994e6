"""Stage ``validate``: the data quality gate."""

from __future__ import annotations

import time

import click

from illmrec import atomic
from illmrec.config import PrepareConfig, ValidateConfig
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout
from pipelines.lock import hold_lock
from pipelines.quality.verdict import (
    DOCS_INDEX,
    GATE_FILE,
    CheckResult,
    NotChecked,
    describe_gate,
    refuse_failures,
    warn_failures,
)


@click.command(name="validate")
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Check the prepared tables with Great Expectations; stop on critical failures.

    Four suites: image availability, k-core, interactions, description noise. Writes gate.json, profile.json (the data
    in a few counts, for `illmrec drift`) and a Data Docs site, also when the gate refuses the tables; the exit code is
    3 then.

    \b
    Example:
      illmrec prepare --dataset amazon
      illmrec validate --dataset amazon
    """
    context = open_context(dataset, as_json)
    layout = context.layout
    with hold_lock(layout.lock("validate")):
        atomic.sweep_partial(layout.artifacts, layout.quality.name)
        results, skipped = run_gate(layout, context.section(ValidateConfig), context.section(PrepareConfig))
    verdict = describe_gate(results, {}, skipped)
    context.emit(
        {
            "passed": verdict["passed"],
            "critical_failures": verdict["critical_failures"],
            "warnings": verdict["warnings"],
            "checks": len(results),
            "not_checked": len(skipped),
            "gate": str(layout.quality / GATE_FILE),
            "data_docs": str(layout.quality / DOCS_INDEX),
        }
    )
    warn_failures(results)
    refuse_failures(results, layout.prepared, layout.quality)


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
    from pipelines.quality.data_docs import write_index
    from pipelines.quality.facts import gather_facts
    from pipelines.quality.tables import read_tables

    tables = read_tables(layout.prepared)
    facts = gather_facts(tables, bounds, repeats=prepared.repeats, now=int(time.time()))

    # Great Expectations takes seconds to import, so what fails sooner goes first.
    from pipelines.quality.gate import run_checks
    from pipelines.quality.profile import PROFILE_FILE, build_profile
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
