"""Stage ``split``: histories to training sequences, targets and sampled candidates."""

from __future__ import annotations

import json
from pathlib import Path

import click

from illmrec import atomic
from illmrec.config import SplitConfig
from illmrec.errors import DataError
from pipelines.context import dataset_options, open_context
from pipelines.layout import require
from pipelines.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Split histories leave-one-out and draw sampled candidates.

    Per user the last interaction is the test target and the second last the validation target. Refuses data that the
    quality gate refused.

    \b
    Example:
      illmrec split --dataset amazon
    """
    import polars as pl

    from illmrec.data.catalog import Catalog
    from illmrec.data.split import draw_negatives, split_leave_one_out

    context = open_context(dataset, as_json)
    config, layout = context.section(SplitConfig), context.layout
    with hold_lock(layout.lock("split")):
        interactions = require(layout.prepared / "interactions.parquet", f"prepare --dataset {dataset}")
        items = require(layout.prepared / "items.parquet", f"prepare --dataset {dataset}")
        check_gate(require(layout.quality / "gate.json", f"validate --dataset {dataset}"))
        atomic.sweep_partial(layout.artifacts, layout.split.name)
        catalog = Catalog(pl.read_parquet(items))
        split = split_leave_one_out(pl.read_parquet(interactions), catalog)
        negatives, counts = draw_negatives(split.sequences, len(catalog), config.negatives, seed=config.seed)
        summary = split.counts | counts | split.shares
        with atomic.write_folder(layout.split) as folder:
            atomic.write_parquet(folder / "sequences.parquet", split.sequences)
            atomic.write_parquet(folder / "negatives.parquet", negatives)
            atomic.write_json(folder / "summary.json", summary)
    context.emit(summary)


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
