"""Every user the raw data name, and what became of each."""

from __future__ import annotations

import polars as pl

from illmrec.columns import USER_ID, USERS

CORE, BELOW_CORE, NO_INTERACTIONS = "core", "below_core", "no_interactions"


def build_users(core: pl.Series, interacting: pl.Series, named: pl.Series) -> pl.DataFrame:
    """Return ``columns.USERS`` sorted by user_id.

    Args:
        core: different user ids of the core.
        interacting: different ids of every user with an interaction, those of the core among them.
        named: user ids of a file of users; they may have no interaction.
    """
    status = pl.when(pl.col(USER_ID).is_in(core.implode())).then(pl.lit(CORE)).otherwise(pl.lit(BELOW_CORE))
    known = pl.DataFrame({USER_ID: interacting}).with_columns(status=status)
    others = pl.DataFrame({USER_ID: named.unique()}).join(known, on=USER_ID, how="anti")
    tables = [known, others.with_columns(status=pl.lit(NO_INTERACTIONS))]
    return pl.concat(tables).sort(USER_ID).cast(pl.Schema(USERS))
