"""Suite ``k_core``: are there enough users and items, each with enough interactions, and no strangers."""

from __future__ import annotations

from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.checks import PREPARE_AGAIN, Check, Subject

SUITE = "k_core"


def check_core(bounds: ValidateConfig, prepared: PrepareConfig) -> list[Check]:
    """Return the suite's checks."""
    users, items, rows = Subject(SUITE, "users"), Subject(SUITE, "items"), Subject(SUITE, "interactions")
    return [
        *Subject(SUITE, "interaction_columns").columns(),
        users.rows("enough_users", bounds.min_users, "add data, or lower prepare.user_core or validate.min_users"),
        items.rows("enough_items", bounds.min_items, "add data, or lower prepare.item_core or validate.min_items"),
        users.no_less(
            "users_reach_core",
            "interactions",
            prepared.user_core,
            f"users with fewer than {prepared.user_core} interactions",
            f"{PREPARE_AGAIN} (prepare.user_core)",
        ),
        items.no_less(
            "items_reach_core",
            "interactions",
            prepared.item_core,
            f"items with fewer than {prepared.item_core} interactions",
            f"{PREPARE_AGAIN} (prepare.item_core)",
        ),
        rows.none("users_known", "unknown_user", "interactions of users not listed as core", PREPARE_AGAIN),
        rows.none("items_known", "unknown_item", "interactions with items not in items.parquet", PREPARE_AGAIN),
    ]
