"""Job ``rivals``: collaborative filtering to compare with, tuned on validation with the same number of trials each."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

import click
import polars as pl

from illmrec.errors import ParameterError
from pipelines.commands.options import about_dataset, print_facts, wants_json
from pipelines.parameters.reading import validate_section
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.parameters.training import EvaluateConfig

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option("--models", "names", metavar="NAME,NAME", help="Rivals to compare; default: `rivals.models`.")
@click.option("--trials", type=click.IntRange(min=0), help="Trainings to find a rival's parameters; 0 for no tuning.")
@click.option("--seeds", type=click.IntRange(min=1), help="Final trainings per rival.")
def command(context: Context, names: str | None, trials: int | None, seeds: int | None) -> None:
    r"""Tune rivals on validation targets, train each with several seeds, and rank the test targets by them.

    All learn from the same training interactions and are ranked among the full catalog. Stage split must have run, and
    embed-images for vbpr. Trials and trainings are kept: a command that was stopped goes on, and one that has nothing
    left to do only writes its tables, to work/studies/DATASET/rivals. Rivals of earlier commands stay in them as long
    as data and bounds are the same. Options take the place of section `rivals`.

    \b
    Example:
      illmrec rivals --dataset amazon
      illmrec rivals --dataset amazon --models sasrec,gru4rec --trials 10 --seeds 3 --json
    """
    from pipelines.studies.rivals.comparison import FOLDER, compare_rivals

    config = _override(context.section(RivalsConfig), names, trials, seeds)
    facts = compare_rivals(context.layout, config, context.section(EvaluateConfig))
    if wants_json():
        print_facts(facts)
        return
    _show(facts["summary"])
    if facts["published"]:
        _show_published(facts)
    click.echo(f"{context.layout.studies / FOLDER / 'results.json'}")


def _override(config: RivalsConfig, names: str | None, trials: int | None, seeds: int | None) -> RivalsConfig:
    """Return the section with what the options change."""
    changes: dict[str, Any] = {key: value for key, value in (("trials", trials), ("seeds", seeds)) if value is not None}
    if names is not None:
        chosen = [name.strip() for name in names.split(",")]
        for name in chosen:
            if name not in get_args(RivalName):
                close = difflib.get_close_matches(name, get_args(RivalName), n=1)
                hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(get_args(RivalName))}."
                raise ParameterError(f"there is no rival {name!r}.", hint=hint)
        changes["models"] = list(dict.fromkeys(chosen))
    return validate_section(RivalsConfig, config.model_dump() | changes, "options")


def _show_published(facts: dict[str, Any]) -> None:
    """Print published figures of the rivals that were run, each below ours."""
    published = facts["published"]
    rows = []
    for row in facts["summary"]:
        figures = published["rivals"].get(row["rival"])
        if figures:
            rows.append({"title": row["title"], "figures": "ours", **{metric: row[metric] for metric in figures}})
            rows.append({"title": row["title"], "figures": "published", **figures})
    if rows:
        click.echo(f"{published['name']}: {published['source']}")
        _print_table(pl.from_dicts(rows))


def _show(summary: list[dict[str, Any]]) -> None:
    columns = ["title", "hit@5", "hit@10", "ndcg@5", "ndcg@10", "ndcg@10.low", "ndcg@10.high", "mrr", "seeds", "trials"]
    _print_table(pl.from_dicts([{key: row[key] for key in columns} for row in summary]))


def _print_table(table: pl.DataFrame) -> None:
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   tbl_width_chars=200, float_precision=4, fmt_str_lengths=60):  # fmt: skip
        click.echo(str(table))
