"""Reading what is published."""

from __future__ import annotations

from typing import Any

import polars as pl

from illmrec.columns import ITEM_ID, USER_ID
from illmrec.errors import DataError
from illmrec.scoring.output import check_run, find_latest, read_user
from pipelines.project.context import Context


def read(context: Context, user_id: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return rows and what the night says of itself.

    Raises:
        DataError: when nothing is published, what is differs from its digests, or the night does not know the user.
    """
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
