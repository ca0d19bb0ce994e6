"""What must hold of recommendations before anyone reads them."""

from __future__ import annotations

import polars as pl

from illmrec.columns import ITEM_ID, USER_ID


def audit_recommendations(
    table: pl.DataFrame, users: pl.Series, items: pl.Series, seen: pl.DataFrame, k: int
) -> list[str]:
    """Return what is wrong, in words; nothing wrong gives an empty list.

    Args:
        table: :data:`illmrec.scoring.output.RECOMMENDATIONS`.
        users: every user_id that should be served.
        items: every item_id of the catalog.
        seen: user_id and item_id of known interactions.
        k: rows a user should have; fewer are right only where the unseen catalog is smaller.
    """
    faults = []
    unserved = users.len() - users.is_in(table[USER_ID].unique().implode()).sum()
    if unserved:
        faults.append(f"{unserved} of {users.len()} users have no recommendations")
    strangers = table.filter(~pl.col(ITEM_ID).is_in(items.implode())).height
    if strangers:
        faults.append(f"{strangers} rows name items outside the catalog")
    known = table.join(seen.select(USER_ID, ITEM_ID).unique(), on=[USER_ID, ITEM_ID], how="semi").height
    if known:
        faults.append(f"{known} rows recommend items the user already has")
    broken = table.filter(~pl.col("score").is_finite() | pl.col("score").is_null()).height
    if broken:
        faults.append(f"{broken} scores are not finite numbers")
    return faults + _check_counts(table, items.len(), seen, k)


def _check_counts(table: pl.DataFrame, n_items: int, seen: pl.DataFrame, k: int) -> list[str]:
    known = seen.select(USER_ID, ITEM_ID).unique().group_by(USER_ID).agg(known=pl.len())
    counts = table.group_by(USER_ID).agg(
        rows=pl.len(), items=pl.col(ITEM_ID).n_unique(), ranks=pl.col("rank").sort() == pl.int_range(1, pl.len() + 1)
    )
    counts = counts.join(known, on=USER_ID, how="left").with_columns(pl.col("known").fill_null(0))
    due = pl.min_horizontal(pl.lit(k), n_items - pl.col("known"))
    wrong = counts.filter((pl.col("rows") != due) | (pl.col("items") != pl.col("rows")) | ~pl.col("ranks").list.all())
    if not wrong.height:
        return []
    return [f"{wrong.height} users have a wrong number of rows, repeated items or gaps in their ranks"]
