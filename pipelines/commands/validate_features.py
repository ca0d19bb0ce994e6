"""Command ``validate-features``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.project.lock import hold_lock
from pipelines.quality.verdict import refuse_failures, warn_failures


@click.command(name="validate-features")
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Check the image and text matrices, and whether pictures and texts of items belong together.

    Each item's text is read by the text tower of the picture encoder and compared with the item's picture and with
    pictures of other items. An encoder without a text tower cannot do that; the result then says "not checked" and why.
    Writes gate.json, a Data Docs site and worst_pairs.parquet, also when a check fails; the exit code is 3 after a
    critical one.

    \b
    Example:
      illmrec validate-features --dataset amazon
    """
    from pipelines.stages.validate_features import run_feature_gate

    context = open_context(dataset, as_json)
    layout = context.layout
    with hold_lock(layout.lock("validate-features")):
        atomic.sweep_partial(layout.artifacts, layout.feature_quality.name)
        results, facts = run_feature_gate(layout, context.section(ValidateFeaturesConfig))
    context.emit(facts)
    warn_failures(results)
    refuse_failures(results, layout.artifacts / "features", layout.feature_quality, "features")
