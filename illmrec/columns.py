"""Column names and types of the tables that flow through the project.

``*_id`` is the catalog's own string; ``*_index`` is a dense integer from 0 (see :mod:`illmrec.data.catalog`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

USER_ID = "user_id"
ITEM_ID = "item_id"
TIMESTAMP = "timestamp"
USER_INDEX = "user_index"
ITEM_INDEX = "item_index"

IMAGE_OK = "ok"
"""Every other image status names a reason: missing, undecodable, too_large, unsafe_path."""

Schema = dict[str, Any]

INTERACTIONS: Schema = {USER_ID: pl.String, ITEM_ID: pl.String, TIMESTAMP: pl.Int64}
"""One row per interaction; ``timestamp`` in seconds since 1970 UTC. Row order within a user is history order."""

ITEMS: Schema = {
    ITEM_ID: pl.String,
    "title": pl.String,
    "brand": pl.String,
    "category": pl.List(pl.String),
    "description": pl.String,
    "image_ref": pl.String,
    "image_status": pl.String,
}
"""One row per item; texts may be empty strings, never null; ``category`` runs from most general to most special."""

RAW_TEXTS: Schema = {
    ITEM_ID: pl.String,
    "title": pl.String,
    "brand": pl.String,
    "category": pl.List(pl.String),
    "description": pl.String,
}
"""One row per item that the publisher describes; texts as published: markup and repeats included, null where the
publisher says nothing. What cleaning made of them stands in :data:`ITEMS`."""

IMAGES: Schema = {
    ITEM_ID: pl.String,
    "position": pl.Int32,
    "image_ref": pl.String,
    "status": pl.String,
    "sha256": pl.String,
    "width": pl.Int32,
    "height": pl.Int32,
    "bytes": pl.Int64,
    "reason": pl.String,
}
"""One row per picture of an item (several for video frames); ``image_ref`` is relative to the data set's raw folder."""

USERS: Schema = {USER_ID: pl.String, "status": pl.String}
"""Every user the raw data name; status is core, below_core or no_interactions."""

REJECTED: Schema = {"file": pl.String, "row": pl.Int64, "reason": pl.String}
"""Malformed raw rows set aside, with the 1-based line of the raw file."""

SUMMARIES: Schema = {ITEM_ID: pl.String, "summary": pl.String}
"""One row per item of the catalog, in its order; an empty string where nothing is said about the item."""

SEQUENCES: Schema = {
    USER_INDEX: pl.Int32,
    USER_ID: pl.String,
    "train": pl.List(pl.Int32),
    "valid": pl.Int32,
    "test": pl.Int32,
}
"""One row per user to learn from: item indices, oldest first. ``test`` is the user's first test target, null where a
global-time split leaves the user none."""

TARGETS: Schema = {USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32}
"""Every test target, in order of user_index: one per user leave-one-out, any number of them by global time."""

NEGATIVES: Schema = {USER_INDEX: pl.Int32, "negatives": pl.List(pl.Int32)}
"""Sampled candidates of each user's test targets: item indices the user never interacted with."""
