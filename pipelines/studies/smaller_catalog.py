"""A data set as it was when its catalog was smaller: a project of its own with the items that came first."""

from __future__ import annotations

import hashlib
import json
import math
import shutil

import numpy as np
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_ID, TIMESTAMP, USER_ID
from illmrec.data.splitting.kcore import find_core
from illmrec.errors import DataError
from pipelines.parameters.data import PrepareConfig, SplitConfig
from pipelines.parameters.features import EmbedImagesConfig, EmbedTextConfig
from pipelines.parameters.training import TrainCfConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages.embed_images import embed_images
from pipelines.stages.embed_text import embed_text
from pipelines.stages.split import make_split
from pipelines.stages.train_cf import train_cf
from pipelines.studies import revision

COPIED = ("source.json",)


def open_smaller(context: Context, share: float) -> Layout:
    """Return a project with the share of items that were first seen, prepared up to ``train-cf``.

    It is made once for the same tables and parameters; features come from the cache.

    Args:
        context: the data set; its stages up to ``train-cf`` must have run.
        share: of the items, in the order of their first interaction.

    Raises:
        DataError: when nothing of so small a catalog is left by the k-core.
    """
    shared = context.layout
    digest = _identify(context, share)
    layout = Layout(shared.studies / "growth" / f"{round(100 * share):03d}-{digest}", shared.dataset)
    done = layout.root / "made.json"
    if not done.is_file():
        shutil.rmtree(layout.root, ignore_errors=True)
        _link(shared, layout)
        _write_tables(context, layout, share)
        _run_stages(context, layout)
        atomic.write_json(done, {"share": share, "digest": digest})
    return layout


def _identify(context: Context, share: float) -> str:
    sections = (PrepareConfig, SplitConfig, EmbedImagesConfig, EmbedTextConfig, TrainCfConfig)
    facts = {
        "revision": revision.CASES,
        "share": share,
        "tables": [
            atomic.digest_file(context.layout.prepared / f"{name}.parquet") for name in ("interactions", "items")
        ],
        "encoders": atomic.digest_file(context.layout.encoders / "encoders.json"),
        "settings": [context.section(kind).model_dump(mode="json") for kind in sections],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _link(shared: Layout, layout: Layout) -> None:
    layout.prepared.mkdir(parents=True)
    layout.features("image").parent.mkdir(parents=True)
    layout.feature_cache.parent.mkdir(parents=True)
    for place in (shared.root / "data", shared.feature_cache, shared.encoders):
        if place.exists():
            (layout.root / place.relative_to(shared.root)).symlink_to(place, target_is_directory=True)


def _write_tables(context: Context, layout: Layout, share: float) -> None:
    """Write the prepared tables of the smaller catalog; the k-core holds in it too."""
    config, shared = context.section(PrepareConfig), context.layout.prepared
    interactions = pl.read_parquet(shared / "interactions.parquet")
    items = pl.read_parquet(shared / "items.parquet")
    first = interactions.group_by(ITEM_ID).agg(pl.col(TIMESTAMP).min()).sort(TIMESTAMP, ITEM_ID)
    kept = first[ITEM_ID].head(math.ceil(share * items.height))
    rows = interactions.filter(pl.col(ITEM_ID).is_in(kept.implode()))
    codes = [rows[name].rank("dense").to_numpy().astype(np.int64) - 1 for name in (USER_ID, ITEM_ID)]
    rows = rows.filter(pl.Series(find_core(codes[0], codes[1], config.user_core, config.item_core)))
    if not rows.height:
        hint = "Leave the smallest share out, or lower prepare.user_core and prepare.item_core."
        raise DataError(f"{share:.0%} of the catalog leave nothing to learn from.", hint=hint)
    present = rows[ITEM_ID].unique().implode()
    items = items.filter(pl.col(ITEM_ID).is_in(present))
    images = pl.read_parquet(shared / "images.parquet").filter(pl.col(ITEM_ID).is_in(present))
    for name, table in (("interactions", rows), ("items", items), ("images", images)):
        atomic.write_parquet(layout.prepared / f"{name}.parquet", table)
    for name in COPIED:
        shutil.copy(shared / name, layout.prepared / name)
    counts = {"users": rows[USER_ID].n_unique(), "items": items.height, "interactions": rows.height}
    atomic.write_json(layout.prepared / "summary.json", counts)


def _run_stages(context: Context, layout: Layout) -> None:
    interactions = pl.read_parquet(layout.prepared / "interactions.parquet")
    tables, summary = make_split(interactions, Shelf(layout).catalog, context.section(SplitConfig))
    with atomic.write_folder(layout.split) as folder:
        for name, table in tables.items():
            atomic.write_parquet(folder / f"{name}.parquet", table)
        atomic.write_json(folder / "summary.json", summary)
    shelf = Shelf(layout)
    embed_images(shelf, context.section(EmbedImagesConfig))
    embed_text(shelf, context.section(EmbedTextConfig))
    train_cf(shelf, context.section(TrainCfConfig))
