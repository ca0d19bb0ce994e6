"""Command ``export``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.training import ExportConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Export the projection heads to a single ONNX file and compare it with the trained model.

    Items and export.compared_users users are projected both ways. A larger difference than export.max_difference, or
    another top ten for more users than export.min_same_top10_share allows, stops with exit code 4 and nothing is
    written.

    \b
    Example:
      illmrec export --dataset amazon
    """
    from pipelines.stages.export import export_head

    context = open_context(dataset, as_json)
    config, layout = context.section(ExportConfig), context.layout
    with hold_lock(layout.lock("export")):
        atomic.sweep_partial(layout.artifacts, layout.head.name)
        with atomic.write_folder(layout.head) as folder:
            facts = export_head(layout, folder, config)
    context.emit(facts)
