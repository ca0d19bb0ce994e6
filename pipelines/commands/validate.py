"""Command ``validate``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.project.lock import hold_lock
from pipelines.quality.verdict import (
    DOCS_INDEX,
    GATE_FILE,
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
    from pipelines.stages.validate import run_gate

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
