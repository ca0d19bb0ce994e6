"""Job ``cost``: what training, evaluation and a nightly export will take on this machine, at this size or another."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from illmrec.atomic import PARQUET_LEVEL
from illmrec.data.histories import pack_rows
from illmrec.models.recommender import Recommender
from illmrec.scoring.output import RECOMMENDATIONS
from illmrec.scoring.topk import ExactSearch
from illmrec.training.cost import (
    Rate,
    Work,
    count_scoring,
    count_training,
    count_validations,
    estimate_memory,
    probe_scoring,
    probe_training,
)
from pipelines.assembly.loading import pick_device
from pipelines.assembly.trainer import make_trainer
from pipelines.parameters.operation import RecommendConfig
from pipelines.parameters.training import TrainConfig
from pipelines.project.context import Context


@dataclass(frozen=True)
class Price:
    """What one command takes; ``steps`` is None where there are none, ``disk_mb`` is what it leaves behind.

    ``seconds_low`` and ``seconds_high`` are those at the fastest and at the slowest rate that was measured.
    """

    users: int
    steps: int | None
    tokens: int
    tflop: float
    seconds: float
    seconds_low: float
    seconds_high: float
    memory_mb: float
    disk_mb: float


@dataclass(frozen=True)
class Size:
    """How many users and items to price; as many as the data set has, unless said otherwise."""

    users: int
    items: int


def estimate(
    context: Context, seconds: float, *, users: int | None = None, items: int | None = None
) -> tuple[dict[str, Price], dict[str, Any]]:
    """Return the price of each command, and the rates it was worked out from.

    Args:
        context: the data set.
        seconds: length of the probe.
        users: users to price; None for those of the data set.
        items: items to price; None for the data set's.

    Raises:
        MissingArtifactError: when a stage before training has not run.
    """
    layout, load = context.layout, os.getloadavg()[0]
    trainer = make_trainer(
        context.shelf, context.section(TrainConfig), checkpoints=layout.checkpoints / "never-written"
    )
    model = trainer.recommender
    sequences = context.shelf.sequences
    histories = sequences.histories("test")
    rows = [histories[user] for user in range(len(sequences))]
    training, scoring = count_training(trainer), count_scoring(model, rows)
    weights, activations = estimate_memory(trainer)
    train_rate = probe_training(trainer, seconds / 2)
    score_rate = probe_scoring(model, rows, seconds / 2)
    search_rate = _probe_search(model, context.section(RecommendConfig))
    size = Size(users or len(rows), items or model.n_items)
    grown = size.users / len(rows)
    vectors = 4.0 * model.parts.heads.shared_width * len(model.parts.heads.kinds)
    features = 2.0 * sum(matrix.header.width for matrix in model.features.values())

    def price(work: Work, steps: int | None, took: Sequence[float], memory: float, disk: float) -> Price:
        counted = (round(work.tokens * grown), work.flops * grown / 1e12)
        seconds, low, high = took
        return Price(size.users, steps, *counted, seconds, low, high, memory / 1e6, disk / 1e6)

    # Both read every user and rank the whole catalog; what else they do (intervals, writing) is small beside it.
    ranking = size.users * size.items / search_rate
    took = [seconds + ranking for seconds in _time(scoring.tokens * grown, score_rate)]
    validated = count_validations(trainer, model, rows, context.section(TrainConfig).validation_users)
    learned = list(map(sum, zip(_time(training.tokens * grown, train_rate), _time(validated, score_rate), strict=True)))
    # Users are ranked a block at a time, so only the items' vectors lie in memory as a whole.
    memory = model.backbone.weight_bytes + vectors * (size.items + context.section(RecommendConfig).score_block_users)
    trained = sum(value.numel() for value in model.named_parameters().values()) * 4.0
    k = context.section(RecommendConfig).k
    prices = {
        "train": price(
            training,
            round(trainer.total_steps * grown),
            learned,
            weights + activations,
            trained + features * size.items,
        ),
        "evaluate": price(scoring, None, took, memory + vectors * size.users, 16.0 * size.users),
        "recommend": price(
            scoring,
            None,
            took,
            memory,
            _measure_row(sequences.user_ids, context.shelf.catalog.item_ids, k) * k * size.users,
        ),
    }
    facts = {
        "device": pick_device(),
        "train_tokens_per_second": round(train_rate.middle, 1),
        "score_tokens_per_second": round(score_rate.middle, 1),
        "scores_per_second": round(search_rate),
        "shared_tokens": len(model.prompt.head) if model.shares_prefix else 0,
        "last_layer_narrowed": model.backbone.narrows,
        "busy_cores_before": round(load, 1),
        "cores": os.cpu_count() or 1,
    }
    return prices, facts


def _time(tokens: float, rate: Rate) -> list[float]:
    """Return the seconds of some tokens at the median rate, at the fastest and at the slowest."""
    return [tokens / each for each in (rate.middle, rate.fastest, rate.slowest)]


_ROWS_MEASURED = 20_000
"""Rows that are written, in memory, to know what one takes on disk."""


def _measure_row(user_ids: Sequence[str], item_ids: Sequence[str], k: int) -> float:
    """Return bytes of one recommendation as ``recommend`` writes it, from rows with these ids and invented scores."""
    rng = np.random.default_rng(0)
    count = max(_ROWS_MEASURED // k, 1)
    users = np.sort(np.asarray(user_ids)[rng.integers(0, len(user_ids), count)])
    columns = {name: rng.standard_normal(count * k) for name, kind in RECOMMENDATIONS.items() if kind == pl.Float32}
    table = pl.DataFrame(columns).with_columns(
        pl.Series("user_id", np.repeat(users, k)),
        pl.Series("item_id", np.asarray(item_ids)[rng.integers(0, len(item_ids), count * k)]),
        pl.Series("rank", np.tile(np.arange(1, k + 1), count)),
        reason=pl.lit("model"),
        model_version=pl.lit("model/1"),
        image_fallback=pl.lit(value=False),
        new_item=pl.lit(value=False),
    )
    file = io.BytesIO()
    table.select(list(RECOMMENDATIONS)).cast(pl.Schema(RECOMMENDATIONS)).write_parquet(
        file, compression="zstd", compression_level=PARQUET_LEVEL
    )
    return file.tell() / table.height


def _probe_search(model: Recommender, config: RecommendConfig) -> float:
    """Return scores a second of the exact search over the catalog."""
    items = model.represent_items()
    users = np.random.default_rng(0).standard_normal((256, items.shape[1])).astype(np.float32)
    search = ExactSearch(items, block_items=config.score_block_items, block_users=config.score_block_users)
    nothing = pack_rows([[] for _ in users])
    k = min(config.k, model.n_items)
    search.search(users, nothing, k)
    start = time.perf_counter()
    search.search(users, nothing, k)
    return len(users) * model.n_items / (time.perf_counter() - start)
