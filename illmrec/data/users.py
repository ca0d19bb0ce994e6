"""Every user the raw data name, and what became of each."""

from __future__ import annotations

import polars as pl

from illmrec.columns import USER_ID, USERS

CORE, BELOW_CORE, NO_INTERACTIONS = "core", "below_core", "no_interactions"


def build_users(core: pl.Series, interacting: pl.Series, named: pl.Series) -> pl.DataFrame:
    """Return ``columns.USERS`` sorted by user_id.

    Args:
        core: user ids of the core.
        interacting: ids of every user with an interaction.
        named: user ids of a file of users; they may have no interaction.
    """
    groups = [(core, CORE), (interacting, BELOW_CORE), (named, NO_INTERACTIONS)]
    tables = [pl.DataFrame({USER_ID: ids.unique()}).with_columns(status=pl.lit(status)) for ids, status in groups]
    return pl.concat(tables).unique(USER_ID, keep="first", maintain_order=True).sort(USER_ID).cast(pl.Schema(USERS))
