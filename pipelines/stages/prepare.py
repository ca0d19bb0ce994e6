"""Stage ``prepare``: raw files to tables."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID
from illmrec.data.boilerplate import remove_boilerplate
from illmrec.data.images import probe_images
from illmrec.data.interactions import CoreInteractions, select_core
from illmrec.data.items import build_images, build_items, clean_items, select_pictures, select_raw_texts
from illmrec.data.raw import RawCatalog
from illmrec.data.readers import read_raw
from illmrec.data.users import build_users
from pipelines.parameters.data import PrepareConfig
from pipelines.project.context import Context
from pipelines.stages import Facts, stage

log = logging.getLogger(__name__)


@stage("prepare")
def run(context: Context) -> Facts:
    """Read the raw folder, publish the tables, return the counts.

    Raises:
        DataError: see :func:`prepare`.
    """
    config, layout = context.section(PrepareConfig), context.layout
    tables, summary = prepare(layout.root / config.folder, config)
    with atomic.write_folder(layout.prepared) as folder:
        for name, table in tables.items():
            atomic.write_parquet(folder / f"{name}.parquet", table)
        atomic.write_json(folder / "summary.json", summary)
        # Later stages open pictures from here without knowing the parameters of this one.
        source = {"format": config.format, "folder": config.folder, "max_pixels": config.max_pixels}
        atomic.write_json(folder / "source.json", source)
    return summary


def prepare(folder: Path, config: PrepareConfig) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    """Turn a publisher's folder into the tables of the project.

    Returns:
        Tables by name (interactions, interactions_below_core, items, raw_texts, images, users, rejected) and the flat
        summary.

    Raises:
        DataError: when files are missing or damaged, too many rows are malformed, or the core is empty.
    """
    raw = read_raw(
        config.format,
        folder,
        pictures=config.pictures,
        missing_items=config.missing_metadata,
        min_rating=config.min_rating,
    )
    for warning in raw.warnings:
        log.warning(warning)
    raw.check_rejected(folder, config.max_rejected_share)
    if config.sample_users is not None:
        sample = raw.interactions.sample_users(config.sample_users, config.seed)
        raw = replace(raw, interactions=sample, extra_users=raw.extra_users.clear())
    chosen = select_core(
        raw.interactions,
        repeats=config.repeats,
        user_core=config.user_core,
        item_core=config.item_core,
        seed=config.seed,
    )
    item_ids = chosen.item_ids
    pictures = select_pictures(raw.pictures, item_ids)
    images = build_images(pictures, probe_images(folder, pictures["image_ref"].to_list(), config.max_pixels))
    raw_texts = select_raw_texts(raw.items, item_ids)
    texts, text_counts = _clean_texts(raw_texts, config)
    items, item_counts = build_items(texts, item_ids, images)
    users = build_users(chosen.user_ids, raw.interactions.user_ids, raw.extra_users)
    tables = {
        "interactions": chosen.core,
        "interactions_below_core": chosen.below,
        "items": items,
        "raw_texts": raw_texts,
        "images": images,
        "users": users,
        "rejected": raw.rejected,
    }
    return tables, _summarise(raw, chosen, tables, item_counts | text_counts)


def _clean_texts(raw_texts: pl.DataFrame, config: PrepareConfig) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean every text once, for all later stages, and count what boilerplate was removed."""
    texts = clean_items(raw_texts)
    if config.boilerplate == "keep":
        return texts, {}
    trimmed = remove_boilerplate(
        texts["description"].to_list(), min_share=config.boilerplate_share, min_words=config.boilerplate_words
    )
    counts = {"boilerplate_sentences": len(trimmed.sentences), "descriptions_with_boilerplate": trimmed.changed}
    return texts.with_columns(pl.Series("description", trimmed.texts, pl.String)), counts


def _summarise(
    raw: RawCatalog, chosen: CoreInteractions, tables: dict[str, pl.DataFrame], item_counts: dict[str, int]
) -> dict[str, Any]:
    summary: dict[str, Any] = {**raw.counts, "rejected_rows": raw.rejected.height}
    summary |= _count(raw.rejected, "reason", "rejected_rows")
    repeated_rows = raw.items.height - raw.items[ITEM_ID].n_unique()
    summary |= chosen.counts | {"tie_share": chosen.tie_share, "duplicate_item_rows_dropped": repeated_rows}
    summary |= item_counts
    summary |= {"pictures": tables["images"].height} | _count(tables["images"], "status", "pictures")
    summary |= {"users_named": tables["users"].height} | _count(tables["users"], "status", "users")
    return summary | {"warnings": len(raw.warnings)}


def _count(table: pl.DataFrame, column: str, prefix: str) -> dict[str, int]:
    """Return how often each value of a column occurs, keyed by prefix and value."""
    counts = table[column].value_counts().sort(column)
    return {f"{prefix}_{value.replace(' ', '_')}": count for value, count in counts.iter_rows()}
