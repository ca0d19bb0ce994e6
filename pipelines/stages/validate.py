"""Stage ``validate``: the data quality gate."""

from __future__ import annotations

import time

import click

from illmrec.config import PrepareConfig, ValidateConfig
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout
from pipelines.lock import hold_lock
from pipelines.quality.verdict import DOCS_INDEX, GATE_FILE, CheckResult, describe_gate, refuse_failures


@click.command(name="validate")
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Check the prepared tables with Great Expectations; stop on critical failures.

    Three suites: image availability, k-core, description noise. Writes gate.json and a Data Docs site, also when the
    gate refuses the tables; the exit code is 3 then.

    \b
    Example:
      illmrec prepare --dataset amazon
      illmrec validate --dataset amazon
    """
    context = open_context(dataset, as_json)
    layout = context.layout
    with hold_lock(layout.lock("validate")):
        results = run_gate(layout, context.section(ValidateConfig), context.section(PrepareConfig))
    verdict = describe_gate(results, {})
    context.emit(
        {
            "passed": verdict["passed"],
            "critical_failures": verdict["critical_failures"],
            "warnings": verdict["warnings"],
            "checks": len(results),
            "gate": str(layout.quality / GATE_FILE),
            "data_docs": str(layout.quality / DOCS_INDEX),
        }
    )
    refuse_failures(results, layout.prepared, layout.quality)


def run_gate(layout: Layout, bounds: ValidateConfig, prepared: PrepareConfig) -> list[CheckResult]:
    """Run the suites over the prepared tables; publish gate.json and the Data Docs; return the result of each check.

    Raises:
        MissingArtifactError: when ``prepare`` has not run.
        DataError: when a table is not readable.
    """
    from illmrec import atomic
    from pipelines.quality.data_docs import write_index
    from pipelines.quality.facts import gather_facts
    from pipelines.quality.tables import read_tables

    tables = read_tables(layout.prepared)
    facts = gather_facts(tables, repeats=prepared.repeats, short_words=bounds.short_words, now=int(time.time()))

    # Great Expectations takes seconds to import, so what fails sooner goes first.
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import build_checks

    with atomic.write_folder(layout.quality) as folder:
        docs = (folder / DOCS_INDEX).parent
        results = run_checks(build_checks(bounds, prepared), facts, docs)
        verdict = describe_gate(results, {name: table.height for name, table in tables.items()})
        write_index(docs, verdict)
        atomic.write_json(folder / GATE_FILE, verdict)
    return results
