"""Suite ``interactions``: are they unique, ordered by a plausible clock, made by people, and spread over items."""

from __future__ import annotations

from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.checks import PREPARE_AGAIN, Check, Subject

SUITE = "interactions"
CLOCK = "correct the raw timestamps: seconds since 1970 UTC"


def check_interactions(prepared: PrepareConfig) -> list[Check]:
    """Are there any, and is each there once."""
    rows = Subject(SUITE, "interactions")
    key = "user and item" if prepared.repeats == "first" else "user, item and timestamp"
    repeated = f"interactions that share {key} with another"
    return [
        *Subject(SUITE, "interaction_columns").columns(),
        rows.rows("has_interactions", 1, "interactions.parquet is empty: see prepare.user_core and prepare.item_core"),
        rows.none("interactions_unique", "repeated", repeated, f"{PREPARE_AGAIN} (prepare.repeats)"),
    ]


def check_clock(bounds: ValidateConfig) -> list[Check]:
    """Can the timestamps order a history."""
    rows = Subject(SUITE, "interactions")
    return [
        rows.filled("timestamps_not_null", "timestamp", "interactions without a timestamp", CLOCK),
        rows.no_less("timestamps_not_negative", "timestamp", 0, "interactions with a negative timestamp", CLOCK),
        rows.none(
            "timestamps_in_seconds",
            "in_milliseconds",
            "interactions whose timestamp is too large for seconds",
            "divide the raw timestamps by 1,000: they are milliseconds",
        ),
        rows.none("timestamps_not_in_future", "in_future", "interactions in the future", CLOCK),
        rows.at_most(
            "timestamps_not_too_early",
            "too_early",
            bounds.max_early_share,
            f"the interactions before {bounds.earliest_year}",
            f"{CLOCK}; if they mean something else, set validate.earliest_year to 1970",
        ),
        rows.at_most(
            "timestamps_not_tied",
            "tied",
            bounds.max_tie_share,
            "the interactions with the same user and timestamp as another",
            "order within ties is arbitrary: use a finer clock, or raise validate.max_tie_share",
        ),
    ]


def check_crowds(bounds: ValidateConfig) -> list[Check]:
    """Does no single user, item or category stand for the whole."""
    users, items, categories = (Subject(SUITE, frame) for frame in ("users", "items", "categories"))
    return [
        users.at_most(
            "users_human",
            "inhuman",
            bounds.max_bot_share,
            f"the users with more than {bounds.max_daily_interactions} interactions on one day, or more than "
            f"{bounds.max_user_share:g} of all interactions",
            "remove bots, testers and shop terminals from the raw interactions, or raise "
            "validate.max_daily_interactions, validate.max_user_share or validate.max_bot_share",
        ),
        items.at_most(
            "items_not_dominating",
            "dominating",
            0.0,
            f"the items with more than {bounds.max_item_share:g} of all interactions",
            "look at the item: a gift, a bag or a default is no choice; remove it, or raise validate.max_item_share",
        ),
        categories.at_most(
            "categories_vary",
            "commonest",
            bounds.max_category_share,
            "the items with the commonest category path, of those with a category",
            "read the categories from another field of the raw items, or raise validate.max_category_share",
        ),
    ]
