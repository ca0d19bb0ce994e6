"""From a night's inputs to its rows: the model put together, users read, every part of them scored."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from illmrec.columns import USER_ID
from illmrec.data.histories import Indices
from illmrec.errors import InterruptedRunError
from illmrec.features.encode import Engine
from illmrec.models.passes import UserReader
from illmrec.scoring.head import Head
from illmrec.scoring.item_side import keep_items
from illmrec.scoring.rows import FloatArray, Marks
from pipelines.assembly.encoders import identify_encoder
from pipelines.engines.ray_data import encode_on_ray
from pipelines.nights.audience import cut_into_parts
from pipelines.nights.inputs import Inputs
from pipelines.nights.model import NightModel, load_model
from pipelines.nights.precision import convert, measure_loss
from pipelines.nights.reading import Represented, StoreSettings, read_here, represent_audience
from pipelines.nights.reading_work import ReadingWork
from pipelines.nights.scoring_work import ScoringWork, score_on_ray


@dataclass(frozen=True)
class ProjectedCatalog:
    """The items in the recommendation space.

    Args:
        values: ``float32 [n_items, F * d]``.
        key: under which they are kept.
        kept: whether they were there before tonight.
    """

    values: FloatArray
    key: str
    kept: bool


def make_rows(inputs: Inputs, stop: threading.Event, *, full: bool) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the rows of a night, by user and rank, and counts of what it took to make them.

    Args:
        inputs: what it is made of.
        stop: set when the process was asked to end.
        full: read every user again, whatever is kept of earlier nights.

    Raises:
        InterruptedRunError: when ``stop`` was set before all users were scored.
    """
    model = load_model(inputs.shelf, inputs.files)
    head = Head(inputs.files.folder / "head.onnx", inputs.files.version.tags["onnx_sha256"])
    projected = project_catalog(inputs, model, head)
    rows = [inputs.audience.histories[int(user)] for user in inputs.audience.warm]
    reader, loss = open_reader(inputs, model, head, projected.values, rows)
    users = read_users(inputs, reader, rows, stop, full=full)
    if stop.is_set():
        hint = "Give the same command again: it goes on from here."
        raise InterruptedRunError("asked to stop; all users are read and kept.", hint=hint)
    table = score_users(inputs, model, head, projected, users.hidden)
    items = 0 if projected.kept else len(projected.values)
    counts = {"users_encoded": users.encoded, "users_from_store": users.from_store, "items_projected": items}
    return table, counts | loss


def project_catalog(inputs: Inputs, model: NightModel, head: Head) -> ProjectedCatalog:
    """Return the projected catalog, from the store where it is kept there."""
    key = inputs.files.version.tags["onnx_sha256"][:16] + model.digest_items(head)
    folder, keep = inputs.layout.representations, inputs.config.keep_models
    values, kept = keep_items(folder, key, lambda: model.project_items(head), keep=keep)
    return ProjectedCatalog(values, key, kept)


def open_reader(
    inputs: Inputs, model: NightModel, head: Head, items: FloatArray, rows: Sequence[Indices]
) -> tuple[UserReader, dict[str, float]]:
    """Return what reads users, and what its number format costs where that is not the one of training."""
    config, recommender = inputs.config, model.recommender
    if config.backbone_precision == "trained":
        return UserReader(recommender, config.pass_tokens), {}
    other = convert(inputs.shelf, inputs.files, recommender, config.backbone_precision)
    loss = measure_loss(recommender, other, head, items, rows[: config.precision_sample])
    return UserReader(other, config.pass_tokens), loss


def read_users(
    inputs: Inputs, reader: UserReader, rows: Sequence[Indices], stop: threading.Event, *, full: bool
) -> Represented:
    """Return users as the model reads them, from the store where nothing of theirs has changed."""
    config, tags = inputs.config, inputs.files.version.tags
    identity = {
        "tensors": tags["tensors_sha256"],
        "state": tags["state_sha256"],
        "backbone": identify_encoder(inputs.shelf.read_encoder("backbone")),
        "precision": config.backbone_precision,
    }
    folder = inputs.layout.representations
    settings = StoreSettings(folder, config.keep_models, config.keep_representations_days, full)
    return represent_audience(reader, rows, inputs.day, identity, settings, _choose_engine(inputs, reader), stop)


def _choose_engine(inputs: Inputs, reader: UserReader) -> Engine[list[int]]:
    config = inputs.config
    if config.engine == "local":
        return read_here(reader)
    work = ReadingWork(inputs.layout, inputs.files, config.backbone_precision, reader.pass_tokens)
    return encode_on_ray(work, config.ray_actors)


def score_users(
    inputs: Inputs, model: NightModel, head: Head, projected: ProjectedCatalog, hidden: FloatArray
) -> pl.DataFrame:
    """Return rows for all users, by user and rank; ``hidden`` is ``float32 [n_warm, d_llm]``."""
    config, features, version = inputs.config, model.features, inputs.files.version
    marks = Marks(
        image_fallback=~features["image"].present,
        new_item=~features["cf"].present if "cf" in features else None,
        version=f"{version.name}/{version.number}",
    )
    popularity = inputs.audience.popularity
    work = ScoringWork(inputs.layout, inputs.files, config, projected.key, marks, popularity, inputs.offer)
    parts = cut_into_parts(inputs.audience, hidden, config.partitions)
    if config.engine == "local":
        tables = list(map(work.prepare(head, projected.values, inputs.shelf).score, parts))
    else:
        tables = score_on_ray(work, parts, config.ray_actors)
    return pl.concat(tables).sort(USER_ID, "rank")
