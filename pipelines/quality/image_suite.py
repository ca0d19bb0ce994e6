"""Suite ``image_availability``: is there a picture of every item, and is it one of that item."""

from __future__ import annotations

from pipelines.parameters.data import ValidateConfig
from pipelines.quality.checks import EMPTY_ITEMS, PREPARE_AGAIN, Check, Subject

SUITE = "image_availability"


def check_images(bounds: ValidateConfig) -> list[Check]:
    """Is every item's picture accounted for, and do enough items have one that decodes in full."""
    items = Subject(SUITE, "items")
    decodable = "the items with a picture that decodes in full"
    return [
        *Subject(SUITE, "image_columns").columns(),
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


def check_pictures(bounds: ValidateConfig) -> list[Check]:
    """Do the pictures that decode show something, and something of their own."""
    pictures = Subject(SUITE, "pictures")
    return [
        pictures.at_most(
            "pictures_not_placeholders",
            "placeholder",
            bounds.max_placeholder_share,
            f"the pictures that stand, byte for byte, for {bounds.placeholder_items} or more items",
            "delete the stand-in picture, so that its items count as without one, or raise "
            "validate.max_placeholder_share",
        ),
        pictures.at_most(
            "pictures_not_flat",
            "flat",
            bounds.max_flat_share,
            "the pictures with so few bytes that they can hardly show more than one colour",
            "look at the pictures named and delete empty ones, or raise validate.max_flat_share",
        ),
        pictures.at_most(
            "pictures_not_duplicated",
            "duplicated",
            bounds.max_duplicate_picture_share,
            "the pictures that another item has byte for byte",
            "give items pictures of their own, or merge variants of one product, or raise "
            "validate.max_duplicate_picture_share",
        ),
        pictures.at_most(
            "pictures_not_tiny",
            "tiny",
            bounds.max_tiny_share,
            f"the pictures with a side below {bounds.min_side} pixels",
            "fetch larger pictures: thumbnails or tracking pixels were kept, or raise validate.max_tiny_share",
        ),
        pictures.at_most(
            "pictures_not_stretched",
            "stretched",
            bounds.max_stretched_share,
            f"the pictures with one side more than {bounds.max_aspect_ratio:g} times the other",
            "look for banners and separators among the pictures, or raise validate.max_stretched_share",
        ),
    ]
