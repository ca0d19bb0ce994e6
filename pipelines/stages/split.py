"""Stage ``split``: histories to training sequences, targets and sampled candidates."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec import atomic
from illmrec.config import SplitConfig
from illmrec.errors import DataError
from pipelines.context import dataset_options, open_context
from pipelines.layout import require
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    import polars as pl

    from illmrec.data.catalog import Catalog
    from illmrec.data.split import Split


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
    from pipelines.artifacts import read_table
    from pipelines.assembly import load_catalog

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


def make_split(
    interactions: pl.DataFrame, catalog: Catalog, config: SplitConfig
) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """Return the tables (sequences, targets, negatives, popular_negatives) and the summary."""
    import numpy as np

    from illmrec.data.histories import read_sequences
    from illmrec.data.split import draw_negatives, draw_popular_negatives

    split, facts = _split(interactions, catalog, config)
    options: dict[str, Any] = {"seed": config.seed, "targets": split.targets}
    known = None
    if config.method == "global_time":  # items that appeared later were no candidates then
        known = np.unique(read_sequences(split.sequences).histories("test").values)
    uniform, counts = draw_negatives(split.sequences, len(catalog), config.negatives, known=known, **options)
    popular, popular_counts = draw_popular_negatives(split.sequences, len(catalog), config.negatives, **options)
    tables = {"sequences": split.sequences, "targets": split.targets}
    return (
        tables | {"negatives": uniform, "popular_negatives": popular},
        facts | split.counts | counts | popular_counts | split.shares,
    )


def _split(interactions: pl.DataFrame, catalog: Catalog, config: SplitConfig) -> tuple[Split, dict[str, Any]]:
    from illmrec.data.global_time import choose_cutoff, name_moment, split_global_time
    from illmrec.data.split import split_leave_one_out

    if config.method == "leave_one_out":
        return split_leave_one_out(interactions, catalog), {"method": config.method}
    if config.cutoff is None:
        cutoff = choose_cutoff(interactions, config.test_share)
    else:
        cutoff = int(datetime.datetime.fromisoformat(config.cutoff).replace(tzinfo=datetime.UTC).timestamp())
    facts = {"method": config.method, "cutoff": name_moment(cutoff)}
    return split_global_time(interactions, catalog, cutoff), facts


def check_gate(path: Path) -> None:
    """Refuse data that did not pass the quality gate.

    Raises:
        DataError: when the gate's result says that the data failed, or is not readable.
    """
    try:
        passed = json.loads(path.read_text(encoding="utf-8"))["passed"]
    except (ValueError, KeyError, TypeError):
        raise DataError("is not a result of the quality gate.", path=path, hint="Run `illmrec validate`.") from None
    if passed is not True:
        hint = "Read what failed there, mend the data or the bounds in section `validate`, and run `illmrec validate`."
        raise DataError("the data did not pass the quality gate.", path=path, hint=hint)
