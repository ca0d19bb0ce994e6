"""Suite ``description_noise``: do titles and descriptions say something of their own, in plain text."""

from __future__ import annotations

from pipelines.parameters.data import ValidateConfig
from pipelines.quality.checks import EMPTY_ITEMS, PREPARE_AGAIN, Check, Subject

SUITE = "description_noise"


def check_items(bounds: ValidateConfig) -> list[Check]:
    """Have items ids, titles and descriptions at all."""
    items = Subject(SUITE, "items")
    return [
        *Subject(SUITE, "text_columns").columns(),
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
            "titles_mostly_not_empty",
            "empty_title",
            bounds.warn_empty_title_share,
            "the items without a title",
            "add the metadata file or titles below prepare.folder, or raise validate.warn_empty_title_share",
        ),
        items.at_most(
            "descriptions_not_empty",
            "empty_description",
            bounds.max_empty_share,
            "the items without a description",
            "add descriptions, or raise validate.max_empty_share",
        ),
    ]


def check_descriptions(bounds: ValidateConfig) -> list[Check]:
    """Do the descriptions that are not blank read like descriptions."""
    texts, languages = Subject(SUITE, "descriptions"), Subject(SUITE, "languages")
    return [
        texts.at_most(
            "descriptions_not_short",
            "short",
            bounds.max_short_share,
            f"the descriptions with fewer than {bounds.short_words} words",
            "write longer descriptions, or raise validate.max_short_share",
        ),
        texts.at_most(
            "descriptions_not_long",
            "long",
            bounds.max_long_share,
            f"the descriptions with more than {bounds.long_words} words",
            "encoders read the beginning only: put what matters there, or raise validate.max_long_share",
        ),
        texts.at_most(
            "descriptions_without_html",
            "html",
            bounds.max_html_share,
            "the cleaned descriptions that still hold HTML",
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
        languages.at_most(
            "descriptions_in_expected_language",
            "other_language",
            bounds.max_other_language_share,
            f"the descriptions that can be told to be in another language than {bounds.language or 'expected'}",
            "translate them, or give the catalog's language as validate.language, or raise "
            "validate.max_other_language_share",
        ),
    ]


def check_raw_descriptions(bounds: ValidateConfig) -> list[Check]:
    """How much had the cleaning of descriptions to deal with."""
    raw = Subject(SUITE, "raw_descriptions")
    return [
        raw.at_most(
            "raw_descriptions_without_html",
            "html",
            bounds.max_raw_html_share,
            "the descriptions that hold HTML as published",
            "cleaning removed the markup; read some cleaned descriptions, then raise validate.max_raw_html_share",
        ),
        raw.at_most(
            "raw_descriptions_without_boilerplate",
            "boilerplate",
            bounds.max_raw_boilerplate_share,
            "the descriptions as published that open or close with a sentence many others share",
            "remove shared sentences from the raw descriptions, or raise validate.max_raw_boilerplate_share",
        ),
    ]
