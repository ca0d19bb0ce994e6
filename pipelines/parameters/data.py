"""Sections of the data: prepare, validate, split, drift, growth."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, model_validator

from pipelines.parameters.section import Count, Section, Share


class PrepareConfig(Section):
    """Reading a raw catalog, probing its pictures, removing repeats and applying the k-core."""

    key = "prepare"

    format: Literal["amazon", "goodbooks", "hm", "microlens", "own"]
    """Publisher's layout of the raw files."""
    folder: str
    """Folder of the raw files, relative to the project's root or absolute."""
    user_core: Count = 5
    """Users with fewer interactions are removed, repeatedly with ``item_core``, until stable."""
    item_core: Count = 5
    """Items with fewer interactions are removed, repeatedly with ``user_core``, until stable."""
    sample_users: Count | None = None
    """Users drawn before the core, by a hash of their ids: to try things out on a part of the data. The rest are left
    out as if they were not in the files, nights included; all by default."""
    repeats: Literal["first", "all"] = "first"
    """``first`` keeps a user's first interaction with an item; ``all`` keeps repeats at different times."""
    pictures: Literal["frames", "cover"] = "frames"
    """MicroLens only: which pictures stand for a video; features of several are averaged."""
    missing_metadata: Literal["warn", "refuse"] = "warn"
    """Amazon, Goodbooks and own: without the file that describes the items, go on with items known by their ids alone,
    or fail."""
    min_rating: int = Field(default=1, ge=1, le=5)
    """Goodbooks only: lowest rating that counts as an interaction."""
    boilerplate: Literal["remove", "keep"] = "remove"
    """Sentences with which the descriptions of many items open or close; raw_texts.parquet keeps them either way."""
    boilerplate_share: Share = 0.02
    """Share of the different descriptions that must open or close with a sentence, and at least five of them."""
    boilerplate_words: Count = 4
    """Shorter sentences stay."""
    max_pixels: Count = 50_000_000
    """Pictures with more pixels are refused before decoding."""
    max_rejected_share: Share = 0.01
    """The stage fails when a larger share of raw rows is malformed."""
    seed: int = 0
    """Orders interactions of one user with the same timestamp, by hash."""


class ValidateConfig(Section):
    """Bounds of the quality gate. A critical failure stops the pipeline, a warning is recorded. See docs/quality.md."""

    key = "validate"

    min_users: Count = 50
    """Critical: fewer users make metrics meaningless."""
    min_items: Count = 50
    """Critical: fewer items make a ranking meaningless."""
    min_decodable_share: Share = 0.5
    """Critical: share of items with at least one picture that decodes in full."""
    warn_decodable_share: Share = 0.9
    """Warning below this share of items with a picture."""
    placeholder_items: int = Field(default=10, ge=2)
    """A picture that stands for this many items is a placeholder."""
    max_placeholder_share: Share = 0.02
    """Warning: share of pictures that are placeholders."""
    max_flat_share: Share = 0.02
    """Warning: share of pictures with so few bytes for their size that they hardly show more than one colour."""
    max_duplicate_picture_share: Share = 0.2
    """Warning: share of pictures that another item has byte for byte, placeholders apart."""
    min_side: Count = 32
    """A picture with a shorter side, in pixels, is tiny."""
    max_tiny_share: Share = 0.02
    """Warning: share of tiny pictures."""
    max_aspect_ratio: float = Field(default=4.0, ge=1.0)
    """A picture with a longer side above this multiple of the shorter is stretched."""
    max_stretched_share: Share = 0.05
    """Warning: share of stretched pictures."""
    earliest_year: int = Field(default=1995, ge=1970, le=2100)
    """Interactions before this year are implausible; 1970 where timestamps are not times."""
    max_early_share: Share = 0.001
    """Warning: share of interactions before ``earliest_year``."""
    max_tie_share: Share = 0.5
    """Warning: share of interactions with the same user and timestamp as another."""
    max_daily_interactions: Count = 300
    """A user with more interactions on one day (UTC) is no person."""
    max_user_share: Share = 0.02
    """Nor is a user with a larger share of all interactions, if that is ten times the median user as well."""
    max_bot_share: Share = 0.001
    """Warning: share of users who are no persons."""
    max_item_share: Share = 0.05
    """Warning: an item with a larger share of all interactions, if that is ten times the median item as well."""
    max_category_share: Share = 0.9
    """Warning: share of the items with a category that have the commonest one."""
    max_empty_title_share: Share = 0.5
    """Critical: share of items without a title; the title is all the prompt says besides the picture."""
    warn_empty_title_share: Share = 0.1
    """Warning: share of items without a title."""
    max_empty_share: Share = 0.5
    """Warning: share of items without a description."""
    max_short_share: Share = 0.5
    """Warning: share of non-empty descriptions with fewer than ``short_words`` words."""
    short_words: Count = 5
    """A description with fewer words is nearly empty."""
    max_long_share: Share = 0.1
    """Warning: share of non-empty descriptions with more than ``long_words`` words."""
    long_words: Count = 1000
    """A description with more words is hardly read: encoders look at its beginning."""
    max_html_share: Share = 0.05
    """Warning: share of cleaned descriptions that still hold HTML tags or entities."""
    max_raw_html_share: Share = 0.5
    """Warning: share of descriptions that hold HTML as published."""
    max_boilerplate_share: Share = 0.2
    """Warning: share of descriptions that open or close with a sentence many other items share."""
    max_raw_boilerplate_share: Share = 0.5
    """Warning: the same share among the descriptions as published."""
    max_duplicate_share: Share = 0.3
    """Warning: share of non-empty descriptions that another item has word for word."""
    language: (
        Literal[
            "ar", "de", "el", "en", "es", "fr", "he", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "th", "zh"
        ]
        | None
    ) = None
    """Language that descriptions are expected in; null for no such check."""
    max_other_language_share: Share = 0.1
    """Warning: share of descriptions that can be told to be in another language, of those that can be told."""


class SplitConfig(Section):
    """What is learned from and what is tested, and the stored sampled candidates. See docs/evaluation.md."""

    key = "split"

    method: Literal["leave_one_out", "global_time"] = "leave_one_out"
    """``leave_one_out``: each user's last interaction is the test target, the second last the validation target, as in
    the paper. ``global_time``: all interactions from one moment on are test targets, users and items as they were
    then."""
    cutoff: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """``global_time`` only: first day of the test period, "YYYY-MM-DD" in UTC; null lets ``test_share`` choose it."""
    test_share: float = Field(default=0.1, gt=0.0, lt=1.0)
    """``global_time`` without ``cutoff``: the test period begins where this share of the interactions is left."""
    negatives: Count = 100
    """Sampled negatives per user for each sampled protocol, without replacement, never interacted with: once uniformly,
    once in proportion to how often training users took them."""
    seed: int = 0
    """Seed of the sampled negatives."""

    @model_validator(mode="after")
    def _check_day(self) -> SplitConfig:
        """Refuse a day that is not in the calendar, and one that would be ignored."""
        if self.cutoff is not None:
            datetime.date.fromisoformat(self.cutoff)
            if self.method != "global_time":
                raise ValueError("cutoff needs method global_time")
        return self


class GrowthConfig(Section):
    """When a grown catalog is worth a retraining. See docs/retraining.md."""

    key = "growth_check"

    max_new_items: Share = 0.1
    """Retrain above this share of today's items that the champion was not trained on."""
    max_new_users: Share = 0.2
    """Retrain above this share of today's users that the champion was not evaluated on."""
    max_new_interactions: float = Field(default=0.2, ge=0.0)
    """Retrain above this many new interactions for each that the champion was trained on."""
    max_missing_images: Share = 0.1
    """Retrain when the share of items without a readable picture rose by more than this."""


class DriftConfig(Section):
    """How far a data profile may be from the champion's.

    Past a ``warn`` bound a field is named, past a ``max`` bound the command ends with exit code 3.
    """

    key = "drift"

    warn_psi: float = Field(default=0.1, ge=0.0)
    """Population stability index of a distribution of numbers (history length, popularity, words, picture size)."""
    max_psi: float = Field(default=0.25, ge=0.0)
    """Critical beyond it."""
    warn_distance: Share = 0.1
    """Total variation distance of a distribution over names (category, brand, picture status)."""
    max_distance: Share = 0.25
    """Critical beyond it: so large a share of the items would have to change place."""
    warn_loss: Share = 0.1
    """Share of users, items or interactions lost against the champion's data; growth is no drift."""
    max_loss: Share = 0.5
    """Critical beyond it."""
