"""Command ``split``."""

from __future__ import annotations

import click

from illmrec import atomic
from pipelines.commands.options import dataset_options, open_context
from pipelines.parameters.data import SplitConfig
from pipelines.project.layout import require
from pipelines.project.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Split histories into what is learned from and what is tested, and draw sampled candidates.

    Leave-one-out: per user the last interaction is the test target and the second last the validation target. By global
    time (split.method): all interactions from one day on are test targets. Refuses data that the quality gate refused.

    \b
    Example:
      illmrec split --dataset amazon
    """
    from illmrec.columns import INTERACTIONS
    from pipelines.assembly.tables import load_catalog
    from pipelines.project.artifacts import read_table
    from pipelines.stages.split import check_gate, make_split

    context = open_context(dataset, as_json)
    config, layout = context.section(SplitConfig), context.layout
    with hold_lock(layout.lock("split")):
        interactions = read_table(
            layout.prepared / "interactions.parquet", f"prepare --dataset {dataset}", INTERACTIONS
        )
        catalog = load_catalog(layout)
        check_gate(require(layout.quality / "gate.json", f"validate --dataset {dataset}"))
        atomic.sweep_partial(layout.artifacts, layout.split.name)
        tables, summary = make_split(interactions, catalog, config)
        with atomic.write_folder(layout.split) as folder:
            for name, table in tables.items():
                atomic.write_parquet(folder / f"{name}.parquet", table)
            atomic.write_json(folder / "summary.json", summary)
    context.emit(summary)
