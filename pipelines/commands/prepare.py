"""Command ``prepare``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.data import PrepareConfig
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Read a raw catalog into tables.

    Reads the publisher's files, sets malformed rows aside, drops duplicates, applies the k-core, cleans texts and
    decodes every picture in full. Nothing is dropped without being counted; the counts are printed and kept in
    summary.json.

    \b
    Example:
      illmrec prepare --dataset amazon
      illmrec prepare --dataset hm --json
    """
    from pipelines.stages.prepare import prepare

    context = open_context(dataset, as_json)
    config, layout = context.section(PrepareConfig), context.layout
    with hold_lock(layout.lock("prepare")):
        atomic.sweep_partial(layout.artifacts, layout.prepared.name)
        tables, summary = prepare(layout.root / config.folder, config)
        with atomic.write_folder(layout.prepared) as folder:
            for name, table in tables.items():
                atomic.write_parquet(folder / f"{name}.parquet", table)
            atomic.write_json(folder / "summary.json", summary)
            # Later stages open pictures from here without knowing the parameters of this one.
            source = {"format": config.format, "folder": config.folder, "max_pixels": config.max_pixels}
            atomic.write_json(folder / "source.json", source)
    context.emit(summary)
