"""Command ``evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, print_facts, wants_json

if TYPE_CHECKING:
    from illmrec.evaluation.table import MetricsTable
    from pipelines.project.context import Context


@click.command()
@about_dataset
def command(context: Context) -> dict[str, Any] | None:
    r"""Rank each user's test targets among the full catalog and among stored candidates, and see what lists are like.

    Items the user has already interacted with are no candidates. Tied scores share the average of their ranks. Every
    metric comes with a bootstrap interval over users; differences between models are paired and tested. Slices say
    where a model is good, wrong pictures say whether it uses pictures. Prints a summary and every row of
    metrics.parquet with --json, else the main numbers.

    \b
    Example:
      illmrec evaluate --dataset amazon --json
    """
    from pipelines.stages.evaluate import run

    result = run(context)
    if wants_json():
        return result
    _show(context.shelf.metrics)
    return None


def _show(metrics: MetricsTable) -> None:
    """Print the counts, then means of the full catalog and of the lists, then what wrong pictures and titles change."""
    from illmrec.evaluation.metrics import NDCG_10
    from illmrec.evaluation.table import CASES, FULL, INTACT, LISTS

    counts = {row.metric: row.value for row in metrics.select(protocol=CASES)}
    print_facts({name: int(value) if value.is_integer() else value for name, value in counts.items()})
    means = [row for row in metrics.select(variant=None, against=None) if row.protocol in (FULL, LISTS)]
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in means:
        lines.setdefault((row.protocol, str(row.name)), {})[str(row.model)] = row.value
    _print_table([{"among": protocol, "metric": name, **values} for (protocol, name), values in lines.items()])
    changes = metrics.select(NDCG_10, against=INTACT)
    taken = [("titles", "prompt") if row.place == "titles" else ("pictures", row.place) for row in changes]
    _print_table(
        [
            {"taken away": what, "instead": row.variant, "in": place, f"change of {NDCG_10}": row.value}
            for row, (what, place) in zip(changes, taken, strict=True)
        ]
    )


def _print_table(rows: list[dict[str, Any]]) -> None:
    import polars as pl

    if not rows:
        return
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   tbl_width_chars=120, float_precision=4):  # fmt: skip
        click.echo(str(pl.from_dicts(rows, infer_schema_length=None)))
