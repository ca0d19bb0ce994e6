"""What a night is made of: the champion, the catalog, the users, the offer; and a digest of all of it."""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.scoring.offer import Offer, read_offer
from pipelines.assembly.encoders import identify_encoder
from pipelines.growth.grown_catalog import open_grown_catalog
from pipelines.nights.audience import Audience, gather_audience, read_interactions
from pipelines.parameters.operation import RecommendConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.registry import Registry
from pipelines.registry.version_files import VersionFiles

log = logging.getLogger(__name__)

ROWS_DEPEND_ON = ("k", "partitions", "formats", "pass_tokens", "backbone_precision", "candidates", "rerank", "search",
                  "coarse_from_items", "coarse_factor", "score_block_users", "score_block_items")  # fmt: skip
"""Parameters that decide the rows or the files; bounds of the audit, retention and engine do not."""


@dataclass(frozen=True)
class Inputs:
    """Everything that decides a night, each file of it opened once.

    Args:
        shelf: tonight's catalog and its features, those of the grown catalog where there is one.
        config: the section.
        files: the champion's.
        day: the night.
        interactions: what was known before the day.
        audience: the users.
        offer: what may be recommended.
    """

    shelf: Shelf
    config: RecommendConfig
    files: VersionFiles
    day: datetime.date
    interactions: pl.DataFrame
    audience: Audience
    offer: Offer

    @property
    def layout(self) -> Layout:
        """Where the shelf's artifacts lie."""
        return self.shelf.layout

    @property
    def catalog(self) -> Catalog:
        """Tonight's items."""
        return self.shelf.catalog

    @functools.cached_property
    def run_id(self) -> str:
        """A function of all inputs, so that the same night gives the same run."""
        return identify_night(self)

    @property
    def run_folder(self) -> Path:
        """Where the night is written."""
        return self.layout.exports / f"dt={self.day.isoformat()}" / f"run={self.run_id}"


def gather_inputs(context: Context, config: RecommendConfig, day: datetime.date) -> Inputs:
    """Fetch the champion and open what it is to recommend from, and for whom.

    Raises:
        ModelError: when there is no champion, or its files do not verify.
        MissingArtifactError: when a stage has not run.
        DataError: when a table, or the list of withdrawn items, is damaged.
    """
    registry = Registry(context)
    files = registry.fetch(registry.champion)
    shelf = open_grown_catalog(context)
    interactions = read_interactions(shelf, day)
    audience = gather_audience(shelf, interactions)
    return Inputs(shelf, config, files, day, interactions, audience, open_offer(shelf, config))


def open_offer(shelf: Shelf, config: RecommendConfig) -> Offer:
    """Return what may be recommended; warn of lines of the list that name no item of the catalog.

    Raises:
        DataError: see :func:`illmrec.scoring.offer.read_offer`.
    """
    path = None if config.withdrawn is None else shelf.layout.root / config.withdrawn
    offer, unknown = read_offer(path, shelf.catalog)
    if unknown:
        log.warning("%s: %d lines name no item of the catalog, the first %r.", path, len(unknown), unknown[0])
    return offer


def identify_night(inputs: Inputs) -> str:
    """Return a digest of the champion, the catalog, the users, the offer and the parameters that decide rows."""
    layout, files, audience = inputs.layout, inputs.files, inputs.audience
    settings = inputs.config.model_dump(mode="json")
    features = {kind: layout.features(kind) for kind in ("image", "cf", "text")}
    content: dict[str, Any] = {
        "model": [files.version.name, files.version.number, dict(files.version.tags)],
        "backbone": identify_encoder(inputs.shelf.read_encoder("backbone")),
        "settings": {name: settings[name] for name in ROWS_DEPEND_ON},
        "items": hashlib.sha256(inputs.catalog.items.write_ndjson().encode()).hexdigest(),
        "features": {kind: atomic.digest_folder(path) for kind, path in features.items() if path.is_dir()},
        "summaries": atomic.digest_folder(layout.summaries) if layout.summaries.is_dir() else None,
        "day": inputs.day.isoformat(),
        "users": hashlib.sha256("\n".join(audience.user_ids).encode()).hexdigest(),
        "histories": hashlib.sha256(
            audience.histories.values.tobytes() + audience.histories.offsets.tobytes()
        ).hexdigest(),
    }
    if not inputs.offer.whole:
        content["offer"] = hashlib.sha256(inputs.offer.allowed.tobytes()).hexdigest()
    if inputs.config.candidates == "sasrec":
        content["sasrec"] = atomic.digest_folder(layout.cf_model)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
