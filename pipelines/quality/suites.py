"""The three expectation suites as one table of checks.

Great Expectations passes an empty batch and an all-null column, so each suite begins with guards: required columns
present, no nulls, enough rows.
"""

from __future__ import annotations

from illmrec.config import PrepareConfig, ValidateConfig
from pipelines.quality.checks import Check, Subject

IMAGES = "image_availability"
CORE = "k_core"
NOISE = "description_noise"

PREPARE_AGAIN = "run `illmrec prepare` again with the parameters of this run"
EMPTY_ITEMS = "items.parquet is empty: see prepare.folder, prepare.user_core and prepare.item_core"


def build_checks(bounds: ValidateConfig, prepared: PrepareConfig) -> list[Check]:
    """Return every check of the three suites, guards first in each."""
    return [
        *check_images(bounds),
        *check_core(bounds, prepared),
        *check_interactions(bounds, prepared),
        *check_items(bounds),
        *check_descriptions(bounds),
    ]


def check_images(bounds: ValidateConfig) -> list[Check]:
    """Suite 1: is every item's picture accounted for, and do enough items have one that decodes in full."""
    items = Subject(IMAGES, "items")
    decodable = "the items with a picture that decodes in full"
    return [
        *Subject(IMAGES, "image_columns").columns(),
        items.rows("has_items", 1, EMPTY_ITEMS),
        items.none("image_statuses_known", "unknown_status", "items with an unknown image status", PREPARE_AGAIN),
        items.none(
            "images_listed",
            "unlisted",
            "items without a row in images.parquet and without the status `missing`",
            PREPARE_AGAIN,
        ),
        items.at_least(
            "images_decodable",
            "decodable",
            bounds.min_decodable_share,
            decodable,
            "add or repair pictures below prepare.folder, or lower validate.min_decodable_share",
            "critical",
        ),
        items.at_least(
            "images_mostly_decodable",
            "decodable",
            bounds.warn_decodable_share,
            decodable,
            "add or repair pictures below prepare.folder, or lower validate.warn_decodable_share",
        ),
    ]


def check_core(bounds: ValidateConfig, prepared: PrepareConfig) -> list[Check]:
    """Suite 2, users and items: are there enough of them, each with enough interactions."""
    users, items = Subject(CORE, "users"), Subject(CORE, "items")
    return [
        *Subject(CORE, "interaction_columns").columns(),
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
    ]


def check_interactions(bounds: ValidateConfig, prepared: PrepareConfig) -> list[Check]:
    """Suite 2, interactions: are they unique, about known users and items, and ordered by a plausible clock."""
    rows = Subject(CORE, "interactions")
    key = "user and item" if prepared.repeats == "first" else "user, item and timestamp"
    repeated = f"interactions that share {key} with another"
    clock = "correct the raw timestamps: whole seconds since 1970 UTC, not milliseconds"
    return [
        rows.rows("has_interactions", 1, "interactions.parquet is empty: see prepare.user_core and prepare.item_core"),
        rows.none("interactions_unique", "repeated", repeated, f"{PREPARE_AGAIN} (prepare.repeats)"),
        rows.none("users_known", "unknown_user", "interactions of users not listed as core", PREPARE_AGAIN),
        rows.none("items_known", "unknown_item", "interactions with items not in items.parquet", PREPARE_AGAIN),
        rows.filled("timestamps_not_null", "timestamp", "interactions without a timestamp", clock),
        rows.no_less("timestamps_not_negative", "timestamp", 0, "interactions with a negative timestamp", clock),
        rows.none("timestamps_not_in_future", "in_future", "interactions in the future", clock),
        rows.at_most(
            "timestamps_not_tied",
            "tied",
            bounds.max_tie_share,
            "the interactions with the same user and timestamp as another",
            "order within ties is arbitrary: use a finer clock, or raise validate.max_tie_share",
        ),
    ]


def check_items(bounds: ValidateConfig) -> list[Check]:
    """Suite 3, items: distinct ids, titles, and descriptions of some length."""
    items = Subject(NOISE, "items")
    return [
        *Subject(NOISE, "text_columns").columns(),
        items.rows("has_items", 1, EMPTY_ITEMS),
        items.none("item_ids_unique", "duplicate_id", "items whose item_id another item has", PREPARE_AGAIN),
        items.at_most(
            "titles_not_empty",
            "empty_title",
            bounds.max_empty_title_share,
            "the items without a title",
            "add the metadata file or titles below prepare.folder, or raise validate.max_empty_title_share",
            "critical",
        ),
        items.at_most(
            "descriptions_not_short",
            "short_description",
            bounds.max_short_share,
            f"the items with fewer than {bounds.short_words} words of description",
            "add descriptions, or raise validate.max_short_share",
        ),
    ]


def check_descriptions(bounds: ValidateConfig) -> list[Check]:
    """Suite 3, descriptions that are not blank: do they say something of their own, in plain text."""
    texts = Subject(NOISE, "descriptions")
    return [
        texts.rows("has_descriptions", 1, "add descriptions to the raw items", "warning"),
        texts.at_most(
            "descriptions_without_html",
            "html",
            bounds.max_html_share,
            "the descriptions that hold HTML",
            "clean the raw descriptions, or raise validate.max_html_share",
        ),
        texts.at_most(
            "descriptions_without_boilerplate",
            "boilerplate",
            bounds.max_boilerplate_share,
            "the descriptions that open or close with a sentence many others share",
            "remove shared sentences from the raw descriptions, or raise validate.max_boilerplate_share",
        ),
        texts.at_most(
            "descriptions_not_duplicated",
            "duplicated",
            bounds.max_duplicate_share,
            "the descriptions that another item has word for word",
            "give items descriptions of their own, or raise validate.max_duplicate_share",
        ),
    ]
