"""Job ``recommend``: tonight's recommendations of the champion for every user."""

from __future__ import annotations

import datetime
import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.columns import USER_ID
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError, InterruptedRunError
from illmrec.models.passes import UserReader
from illmrec.scoring.head import Head
from illmrec.scoring.item_side import keep_items
from illmrec.scoring.offer import Offer, read_offer
from illmrec.scoring.output import (
    Night,
    check_run,
    find_latest,
    find_latest_date,
    move_pointer,
    read_manifest,
    write_run,
)
from illmrec.scoring.retention import prune_nights
from illmrec.scoring.rows import Marks
from pipelines.growth.grown_catalog import open_serving
from pipelines.nights.audience import Audience, cut_into_parts, gather_audience, read_interactions
from pipelines.nights.judging import choose_comparison, find_published, judge_night, keep_audit, refuse_faults
from pipelines.nights.material import Serving, identify_night, load_serving
from pipelines.nights.precision import convert, measure_loss
from pipelines.nights.ray_work import ReadingWork
from pipelines.nights.reading import Keeping, Represented, read_here, represent_audience
from pipelines.nights.scoring_work import ScoringWork, score_on_ray
from pipelines.parameters.operation import RecommendConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt
from pipelines.project.shelf import Shelf
from pipelines.registry.registry import Registry
from pipelines.registry.version_files import VersionFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Args:
        day: the night; interactions before it (UTC) are known.
        full: read every user again, whatever is kept of earlier nights.
        publish: move the pointer; None: unless a later night is published.
    """

    day: datetime.date
    full: bool = False
    publish: bool | None = None


@locked("recommend")
def recommend(
    context: Context, order: Order, stop: threading.Event | None = None, engine: str | None = None
) -> dict[str, Any]:
    """Write, audit and publish one night; return what was written.

    Args:
        context: the data set.
        order: what is asked for.
        stop: set when the process was asked to end.
        engine: ``local`` or ``ray`` in place of the parameter.

    Raises:
        ModelError: when the night fails its audit; the published one stays.
        InterruptedRunError: when ``stop`` was set before everything was written.
    """
    config = context.section(RecommendConfig)
    config = config.model_copy(update={"engine": engine}) if engine else config
    registry = Registry(context)
    files = registry.fetch(registry.champion)
    layout = open_serving(context)
    catalog = Shelf(layout).catalog
    interactions = read_interactions(layout, order.day)
    audience = gather_audience(layout, catalog, interactions)
    offer = open_offer(layout, config, catalog)
    run_id = identify_night(layout, files, config, catalog, audience, offer, order.day)
    folder = layout.exports / f"dt={order.day.isoformat()}" / f"run={run_id}"
    atomic.sweep_partial(folder.parent)
    written = _read_written(folder)
    counts: dict[str, Any] = {}
    table = written
    if table is None or order.full:
        work = NightWork(layout, config, files, catalog, audience, offer, order, stop or threading.Event())
        table, counts = work.run()
    published = find_published(layout)
    last = choose_comparison(published, folder.name, order.day)
    checks = judge_night(table, config, catalog, offer, audience, interactions, order.day, last)
    about = {"date": order.day.isoformat(), "run": run_id, "compared_with": None if last is None else last.folder.name}
    keep_audit(layout, checks, about)
    refuse_faults(checks)
    same = written is not None and written.equals(table)
    if not same:
        if published is not None and published.folder == folder:
            folder = _find_free_name(folder)
        with atomic.write_folder(folder) as partial:
            _write(partial, table, config, describe_night(files, audience, offer, order.day))
    moved = _publish(layout, config, folder, order)
    return _conclude(layout, folder, counts | moved | {"already_written": same})


def open_offer(layout: Layout, config: RecommendConfig, catalog: Catalog) -> Offer:
    """Return what may be recommended; lines of the list that name no item of the catalog are told of.

    Raises:
        DataError: see :func:`illmrec.scoring.offer.read_offer`.
    """
    path = None if config.withdrawn is None else layout.root / config.withdrawn
    offer, unknown = read_offer(path, catalog)
    if unknown:
        log.warning("%s: %d lines name no item of the catalog, the first %r.", path, len(unknown), unknown[0])
    return offer


def _find_free_name(folder: Path) -> Path:
    """Return a name beside a run that readers are pointed to: what they read is never replaced."""
    number = 2
    while folder.with_name(f"{folder.name}-{number}").exists():
        number += 1
    return folder.with_name(f"{folder.name}-{number}")


@dataclass(frozen=True)
class NightWork:
    """Everything that turns the material of a night into rows."""

    layout: Layout
    config: RecommendConfig
    files: VersionFiles
    catalog: Catalog
    audience: Audience
    offer: Offer
    order: Order
    stop: threading.Event

    def run(self) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Return the rows of the night and what it took to make them."""
        serving = load_serving(self.layout, self.files, self.catalog)
        head = Head(self.files.folder / "head.onnx", self.files.version.tags["onnx_sha256"])
        key = self.files.version.tags["onnx_sha256"][:16] + serving.digest_items(head)
        items, kept = keep_items(
            self.layout.representations,
            key,
            lambda: serving.project_items(head),
            keep=self.config.keep_models,
        )
        represented, loss = self._represent(serving, head, items)
        if self.stop.is_set():
            hint = "Give the same command again: it goes on from here."
            raise InterruptedRunError("asked to stop; all users are read and kept.", hint=hint)
        features = serving.features
        marks = Marks(
            image_fallback=~features["image"].present,
            new_item=~features["cf"].present if "cf" in features else None,
            version=f"{self.files.version.name}/{self.files.version.number}",
        )
        material = ScoringWork(self.layout, self.files, self.config, key, marks, self.audience.popularity, self.offer)
        parts = cut_into_parts(self.audience, represented.hidden, self.config.partitions)
        if self.config.engine == "local":
            tables = list(map(material.prepare(head, items, self.catalog).score, parts))
        else:
            tables = score_on_ray(material, parts, self.config.ray_actors)
        table = pl.concat(tables).sort(USER_ID, "rank")
        counts = {"users_encoded": represented.encoded, "users_from_store": represented.from_store}
        return table, counts | {"items_projected": 0 if kept else len(items)} | loss

    def _represent(self, serving: Serving, head: Head, items: Any) -> tuple[Represented, dict[str, Any]]:
        config, audience = self.config, self.audience
        rows = [audience.histories[int(user)] for user in audience.warm]
        model, loss = serving.recommender, {}
        if config.backbone_precision != "trained":
            model = convert(self.layout, self.files, self.catalog, model, config.backbone_precision)
            loss = measure_loss(serving.recommender, model, head, items, rows[: config.precision_sample])
        reader = UserReader(model, config.pass_tokens)
        keeping = Keeping(
            self.layout.representations, config.keep_models, config.keep_representations_days, self.order.full
        )
        facts = self._describe_way()
        engine = self._choose_engine(reader)
        return represent_audience(reader, rows, self.order.day, facts, keeping, engine, self.stop), loss

    def _describe_way(self) -> dict[str, Any]:

        tags = self.files.version.tags
        return {
            "tensors": tags["tensors_sha256"],
            "state": tags["state_sha256"],
            "backbone": Shelf(self.layout).read_encoder("backbone")["revision"],
            "precision": self.config.backbone_precision,
        }

    def _choose_engine(self, reader: Any) -> Any:
        if self.config.engine == "local":
            return read_here(reader)
        from pipelines.engines.ray_data import encode_on_ray

        work = ReadingWork(self.layout, self.files, self.config.backbone_precision, reader.pass_tokens)
        return encode_on_ray(work, self.config.ray_actors)


def _read_written(folder: Path) -> pl.DataFrame | None:
    """Return the rows of a run that is there and intact."""
    if not folder.is_dir():
        return None
    try:
        return Night(folder, check_run(folder)).read().sort(USER_ID, "rank")
    except DataError as error:
        log.warning("the run is damaged and written anew: %s", error)
        return None


def _write(folder: Path, table: pl.DataFrame, config: RecommendConfig, about: dict[str, Any]) -> None:
    write_run(folder, table, config.partitions, about, config.formats)


def _publish(layout: Layout, config: RecommendConfig, folder: Path, order: Order) -> dict[str, Any]:
    """Move the pointer if that is wanted, then remove old nights."""
    published = find_latest_date(layout.exports)
    later = published is not None and published > order.day.isoformat()
    wanted = not later if order.publish is None else order.publish
    if wanted:
        move_pointer(layout.exports, folder)
    elif order.publish is None:
        log.warning("the night %s stays published; --publish points readers to the older one.", published)
    try:
        current: Path | None = find_latest(layout.exports).folder
    except DataError:
        current = None
    # Tonight's run stays too, though it may be a backfill of a date that is out of the window.
    removed = [] if current is None else prune_nights(layout.exports, config.keep_nights, (current, folder))
    return {"published": wanted, "nights_removed": len(removed)}


def _conclude(layout: Layout, folder: Path, counts: dict[str, Any]) -> dict[str, Any]:
    manifest = read_manifest(folder)
    facts = {key: value for key, value in manifest.items() if key not in ("files", "copies")} | counts
    write_receipt(layout.receipts, "recommend", facts | {"folder": str(folder)})
    return facts | {"folder": str(folder)}


def describe_night(files: VersionFiles, audience: Audience, offer: Offer, day: datetime.date) -> dict[str, Any]:
    """Return what the manifest says besides files."""
    return {
        "date": day.isoformat(),
        "model": files.version.name,
        "model_version": files.version.number,
        "onnx_sha256": files.version.tags["onnx_sha256"],
        "users_by_model": len(audience.warm),
        "users_by_popularity": len(audience.cold),
        "items_withdrawn": int((~offer.allowed).sum()),
    }
