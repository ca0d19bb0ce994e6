"""Job ``study``: a table or figure of the paper, in form, on one data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import yaml

from illmrec import atomic
from illmrec.errors import ParameterError
from pipelines.commands.options import about_dataset, print_facts, wants_json
from pipelines.project.lock import hold_lock
from pipelines.studies.catalogue import STUDIES, load_study

if TYPE_CHECKING:
    from pipelines.project.context import Context
    from pipelines.studies.study import Row, Study


@click.command(epilog=f"Studies: {', '.join(STUDIES)}.")
@click.argument("name", metavar="STUDY", type=click.Choice(list(STUDIES)))
@about_dataset
@click.option("--only", metavar="REGEX", default="", help="Cases whose name matches from its beginning.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Key of section train to change in all cases."
)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="Trainings of every case.")
def command(context: Context, name: str, only: str, changes: tuple[str, ...], seeds: int) -> None:
    r"""Compare variants of a data set: each is trained and ranked on the full catalog, with intervals over users.

    Stages up to train-cf must have run. Every case is kept and shared between studies, so a study that was stopped goes
    on, and one whose parameters have not changed ends at once. Results lie in artifacts/DATASET/studies/NAME as
    results.json, results.csv and plot.svg. Nothing is registered, and the data set's own model stays as it is.

    With --seeds, figures are means over trainings from the seed of section train on, and the table has their standard
    deviation. Studies that take one model apart train it once and say so.

    \b
    Example:
      illmrec study overall --dataset amazon
      illmrec study training-variants --dataset amazon --only catalog --set epochs=2
      illmrec study overall --dataset amazon --only image --seeds 3
    """
    from pipelines.studies.plots import render_svg
    from pipelines.studies.study import Bench, find_twins
    from pipelines.studies.tables import write_rows

    extra = dict(_read_change(change) for change in changes)
    study, folder = load_study(name), context.layout.study(name)
    if seeds > 1 and not study.seeded:
        click.echo(f"{name}: one seed; --seeds is for studies whose rows are trainings of section train.", err=True)
        seeds = 1
    if extra and not study.trains:
        click.echo(f"{name}: no case is trained; --set changes nothing.", err=True)
        extra = {}
    with hold_lock(context.layout.lock(f"study-{name}")):
        atomic.sweep_partial(folder.parent, name)
        rows = study.measure(Bench(context, extra, only, seeds))
        twins = find_twins(rows)
        facts = {"study": name, "title": study.title, "question": study.question, "paper": study.paper,
                 "dataset": context.layout.dataset,
                 "set": extra, "only": only, "seeds": seeds, "shown": list(study.shown),
                 "twins": twins, "rows": rows}  # fmt: skip
        with atomic.write_folder(folder) as partial:
            atomic.write_json(partial / "results.json", facts)
            write_rows(partial / "results.csv", rows)
            with atomic.write_file(partial / "plot.svg") as file:
                file.write(render_svg(study.draw(rows)))
    for names in twins:
        click.echo(f"{name}: the same training with these parameters: {', '.join(names)}", err=True)
    if wants_json():
        print_facts(facts)
        return
    _show(study, rows)
    click.echo(f"{folder / 'results.csv'}")


def _show(study: Study, rows: list[Row]) -> None:
    """Print the columns that the study shows, as far as any row has them."""
    import polars as pl

    table = pl.from_dicts(rows, infer_schema_length=None)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   tbl_width_chars=200, float_precision=4, fmt_str_lengths=60):  # fmt: skip
        click.echo(str(table.select(column for column in study.shown if column in table.columns)))


def _read_change(text: str) -> tuple[str, Any]:
    """Return the key and value of ``KEY=VALUE``; the value as YAML reads it."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ParameterError(f"--set {text!r} is not KEY=VALUE.", hint="For instance: --set epochs=2")
    return key.strip(), yaml.safe_load(value)
