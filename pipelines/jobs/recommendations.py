"""Job ``recommendations``: print what readers are pointed to; also an example of how to read it from outside."""

from __future__ import annotations

from typing import Any

import click
import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.errors import DataError
from pipelines.context import Context, dataset_options, open_context


@click.command()
@dataset_options
@click.option("--user", "user_id", default=None, help="Print this user's rows only; reads one part.")
def command(dataset: str, as_json: bool, user_id: str | None) -> None:
    r"""Print the published recommendations: of one user, or of all, by part.

    Follows exports/<dataset>/latest.json and compares what it reads with the digests of the night's manifest. From
    Python the same is `illmrec.scoring.output.read_latest` and `read_user`, which need no project, only the folder.

    \b
    Example:
      illmrec recommendations --dataset amazon --user A1B2C3
      illmrec recommendations --dataset amazon --json > night.json
    """
    context = open_context(dataset, as_json)
    table, about = read(context, user_id)
    if as_json:
        context.emit(about | {"rows": table.to_dicts()})
        return
    click.echo(f"# night {about['date']}, model {about['model']}, run {about['run']}")
    click.echo("\t".join(table.columns))
    for row in table.iter_rows():
        click.echo("\t".join("" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
                             for value in row))  # fmt: skip


def read(context: Context, user_id: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return rows and what the night says of itself.

    Raises:
        DataError: when nothing is published, what is differs from its digests, or the night does not know the user.
    """
    from illmrec.scoring.output import check_run, find_latest, read_user

    exports = context.layout.exports
    night = find_latest(exports)
    if user_id is None:
        check_run(night.folder)
        table = night.read()
    else:
        table = read_user(exports, user_id)
        if table.is_empty():
            hint = "Ids are those of the raw data, letter for letter; a user is known from the first night after."
            raise DataError(f"the night has no user {user_id!r}.", path=night.folder, hint=hint)
    run = night.folder.relative_to(exports).as_posix()
    columns = [USER_ID, "rank", ITEM_ID]
    ordered = table.select(*columns, pl.exclude(columns))
    return ordered, {"date": night.date, "model": night.model, "run": run}
