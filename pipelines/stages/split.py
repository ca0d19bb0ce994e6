"""Stage ``split``: histories to training sequences, targets and sampled candidates."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.data.histories import read_sequences
from illmrec.data.splitting.global_time import choose_cutoff, name_moment, split_global_time
from illmrec.data.splitting.leave_one_out import Split, draw_negatives, draw_popular_negatives, split_leave_one_out
from illmrec.errors import DataError
from pipelines.parameters.data import SplitConfig
from pipelines.project.context import Context
from pipelines.stages import Facts, stage


@stage("split")
def run(context: Context) -> Facts:
    """Split the interactions, publish the tables, return the counts.

    Raises:
        DataError: when the quality gate refused the data, or a table is damaged.
    """
    layout, shelf, config = context.layout, context.shelf, context.section(SplitConfig)
    interactions, catalog = shelf.interactions, shelf.catalog
    check_gate(shelf.require(layout.quality / "gate.json"))
    tables, summary = make_split(interactions, catalog, config)
    with atomic.write_folder(layout.split) as folder:
        for name, table in tables.items():
            atomic.write_parquet(folder / f"{name}.parquet", table)
        atomic.write_json(folder / "summary.json", summary)
    return summary


def make_split(
    interactions: pl.DataFrame, catalog: Catalog, config: SplitConfig
) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """Return the tables (sequences, targets, negatives, popular_negatives) and the summary."""
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
