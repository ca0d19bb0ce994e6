"""Job ``recommendations``: print what readers are pointed to; also an example of how to read it from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pipelines.commands.options import about_dataset, print_facts, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option("--user", "user_id", default=None, help="Print this user's rows only; reads one part.")
def command(context: Context, user_id: str | None) -> None:
    r"""Print the published recommendations: of one user, or of all, by part.

    Follows exports/<dataset>/latest.json and compares what it reads with the digests of the night's manifest. From
    Python the same is `illmrec.read_latest` and `illmrec.read_user`, which need no project, only the folder.

    \b
    Example:
      illmrec recommendations --dataset amazon --user A1B2C3
      illmrec recommendations --dataset amazon --json > night.json
    """
    from pipelines.nights.published import read

    table, night = read(context, user_id)
    if wants_json():
        print_facts(night | {"rows": table.to_dicts()})
        return
    click.echo(f"# night {night['date']}, model {night['model']}, run {night['run']}")
    click.echo("\t".join(table.columns))
    for row in table.iter_rows():
        click.echo("\t".join("" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
                             for value in row))  # fmt: skip
