"""Job ``study``: variants of one data set, trained and evaluated one after the other."""

from __future__ import annotations

import importlib
import re
from typing import Any

import click
import polars as pl
import yaml

from illmrec import atomic
from illmrec.errors import ParameterError
from pipelines.context import dataset_options, open_context
from pipelines.lock import hold_lock

STUDIES = {
    "missing-images": "pipelines.studies.missing_images",
    "training-variants": "pipelines.studies.training_variants",
}
SHOWN = ("hit@10", "ndcg@10", "ndcg@10.low", "ndcg@10.high", "best_epoch", "tokens_per_item", "seconds")


@click.command()
@click.argument("name", type=click.Choice(list(STUDIES)))
@dataset_options
@click.option("--only", metavar="REGEX", default="", help="Cases whose name matches from its beginning.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Key of section train to change in all cases."
)
def command(name: str, dataset: str, as_json: bool, only: str, changes: tuple[str, ...]) -> None:
    r"""Compare variants of a data set: each is trained and ranked on the full catalog, with intervals over users.

    Stages up to train-cf must have run. Every case is kept, so a study that was stopped goes on, and one whose
    parameters have not changed ends at once. Results lie in work/studies/DATASET/NAME/results.csv and .json. Nothing is
    registered, and the data set's own model stays as it is.

    \b
    Example:
      illmrec study missing-images --dataset amazon
      illmrec study training-variants --dataset amazon --only catalog --set epochs=2
    """
    from pipelines.studies.cases import run_case

    context = open_context(dataset, as_json)
    extra = dict(_read_change(change) for change in changes)
    folder = context.layout.studies / name
    cases = [case for case in importlib.import_module(STUDIES[name]).list_cases() if _match(only, case.name)]
    if not cases:
        raise ParameterError(f"no case of {name} matches {only!r}.", hint="Leave --only out to run all of them.")
    rows: list[dict[str, Any]] = []
    with hold_lock(context.layout.lock(f"study-{name}")):
        for number, case in enumerate(cases, start=1):
            click.echo(f"case {number} of {len(cases)}: {case.name}", err=True)
            rows.append(run_case(context, case, folder, extra))
            table = pl.from_dicts(rows, infer_schema_length=None)
            atomic.write_json(folder / "results.json", {"study": name, "set": extra, "rows": rows})
            with atomic.write_file(folder / "results.csv") as file:
                table.write_csv(file)
    if as_json:
        context.emit({"study": name, "set": extra, "rows": rows})
        return
    labels = [column for column in table.columns if column in cases[0].labels]
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True,
                   tbl_width_chars=200, float_precision=4):  # fmt: skip
        click.echo(str(table.select(*labels, *SHOWN)))
    click.echo(f"{folder / 'results.csv'}")


def _match(pattern: str, name: str) -> bool:
    try:
        return re.match(pattern, name) is not None
    except re.error as error:
        raise ParameterError(f"--only {pattern!r} is no regular expression: {error}.") from None


def _read_change(text: str) -> tuple[str, Any]:
    """Return the key and value of ``KEY=VALUE``; the value as YAML reads it."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ParameterError(f"--set {text!r} is not KEY=VALUE.", hint="For instance: --set epochs=2")
    return key.strip(), yaml.safe_load(value)
