"""Job ``cost``: what training, evaluation and a nightly export will take on this machine, at this size or another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from illmrec.atomic import PARQUET_LEVEL
from illmrec.config import RecommendConfig, TrainConfig
from pipelines.context import Context, dataset_options, open_context

if TYPE_CHECKING:
    from illmrec.models.recommender import Recommender
    from illmrec.training.cost import Work


@dataclass(frozen=True)
class Price:
    """What one command takes; ``steps`` is None where there are none, ``disk_mb`` is what it leaves behind."""

    users: int
    steps: int | None
    tokens: int
    tflop: float
    seconds: float
    memory_mb: float
    disk_mb: float


@dataclass(frozen=True)
class Size:
    """How many users and items to price; as many as the data set has, unless said otherwise."""

    users: int
    items: int


@click.command()
@dataset_options
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600.0), help="Length of the probe."
)
@click.option("--users", type=click.IntRange(min=1), help="Price so many users; default: those of the data set.")
@click.option("--items", type=click.IntRange(min=1), help="Price so large a catalog; default: the data set's.")
def command(dataset: str, as_json: bool, seconds: float, users: int | None, items: int | None) -> None:
    r"""Say what training, evaluation and a night will take, before any of it is done.

    Prompt tokens are counted, not guessed. Speed is measured with this data set's own prompts on this machine, in a
    short probe of training and of scoring. Training is given for all epochs; it may stop earlier. Memory is that of
    weights and activations; Python and its libraries come on top. Features and CF model must be there; nothing is
    written.

    --users and --items price another size with this data set's prompts: tokens grow with users, comparing with users
    times items, vectors with both.

    \b
    Example:
      illmrec cost --dataset amazon
      illmrec cost --dataset amazon --seconds 30 --json
      illmrec cost --dataset amazon --users 10000000 --items 500000
    """
    context = open_context(dataset, as_json)
    prices, facts = estimate(context, seconds, users=users, items=items)
    if as_json:
        flat = {f"{name}/{key}": value for name, price in prices.items() for key, value in asdict(price).items()}
        context.emit(flat | facts)
        return
    _show(prices, facts)


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
    from illmrec.training.cost import count_scoring, count_training, estimate_memory, probe_scoring, probe_training
    from pipelines.assembly import load_catalog, load_sequences, pick_device
    from pipelines.stages.train import make_trainer

    layout = context.layout
    trainer = make_trainer(layout, context.section(TrainConfig), checkpoints=layout.checkpoints / "never-written")
    model = trainer.recommender
    sequences = load_sequences(layout)
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

    def price(work: Work, steps: int | None, took: float, memory: float, disk: float) -> Price:
        counted = (round(work.tokens * grown), work.flops * grown / 1e12)
        return Price(size.users, steps, *counted, took, memory / 1e6, disk / 1e6)

    # Both read every user and rank the whole catalog; what else they do (intervals, writing) is small beside it.
    took = scoring.tokens * grown / score_rate + size.users * size.items / search_rate
    # Users are ranked a block at a time, so only the items' vectors lie in memory as a whole.
    memory = model.backbone.weight_bytes + vectors * (size.items + context.section(RecommendConfig).score_block_users)
    trained = sum(value.numel() for value in model.named_parameters().values()) * 4.0
    k = context.section(RecommendConfig).k
    prices = {
        "train": price(
            training,
            round(trainer.total_steps * grown),
            training.tokens * grown / train_rate,
            weights + activations,
            trained + features * size.items,
        ),
        "evaluate": price(scoring, None, took, memory + vectors * size.users, 16.0 * size.users),
        "recommend": price(
            scoring,
            None,
            took,
            memory,
            _measure_row(sequences.user_ids, load_catalog(layout).item_ids, k) * k * size.users,
        ),
    }
    facts = {
        "device": pick_device(),
        "train_tokens_per_second": round(train_rate, 1),
        "score_tokens_per_second": round(score_rate, 1),
        "scores_per_second": round(search_rate),
        "shared_tokens": len(model.prompt.head) if model.shares_prefix else 0,
        "last_layer_narrowed": model.backbone.narrows,
    }
    return prices, facts


_ROWS_MEASURED = 20_000
"""Rows that are written, in memory, to know what one takes on disk."""


def _measure_row(user_ids: Sequence[str], item_ids: Sequence[str], k: int) -> float:
    """Return bytes of one recommendation as ``recommend`` writes it, from rows with these ids and invented scores."""
    import io

    import numpy as np
    import polars as pl

    from illmrec.scoring.output import RECOMMENDATIONS

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
    table.select(list(RECOMMENDATIONS)).cast(RECOMMENDATIONS).write_parquet(
        file, compression="zstd", compression_level=PARQUET_LEVEL
    )
    return file.tell() / table.height


def _probe_search(model: Recommender, config: RecommendConfig) -> float:
    """Return scores a second of the exact search over the catalog."""
    import time

    import numpy as np

    from illmrec.data.histories import pack_rows
    from illmrec.scoring.topk import ExactSearch

    items = model.represent_items()
    users = np.random.default_rng(0).standard_normal((256, items.shape[1])).astype(np.float32)
    search = ExactSearch(items, block_items=config.score_block_items, block_users=config.score_block_users)
    nothing = pack_rows([[] for _ in users])
    k = min(config.k, model.n_items)
    search.search(users, nothing, k)
    start = time.perf_counter()
    search.search(users, nothing, k)
    return len(users) * model.n_items / (time.perf_counter() - start)


def _show(prices: dict[str, Price], facts: dict[str, Any]) -> None:
    names = ["users", "steps", "tokens", "TFLOP", "time", "memory", "disk"]
    lines = [["", *names]]
    for name, price in prices.items():
        steps = "-" if price.steps is None else f"{price.steps:,}"
        sizes = f"{price.memory_mb:,.0f} MB", f"{price.disk_mb:,.0f} MB"
        lines.append([name, f"{price.users:,}", steps, f"{price.tokens:,}", f"{price.tflop:,.3g}",
                      describe_seconds(price.seconds), *sizes])  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" if not column else f"{cell:>{width}}"
                             for column, (cell, width) in enumerate(zip(line, widths, strict=True))))  # fmt: skip
    click.echo()
    for key, value in facts.items():
        shown = ("no", "yes")[value] if isinstance(value, bool) else value if isinstance(value, str) else f"{value:,}"
        click.echo(f"{key.replace('_', ' ')}: {shown}")


def describe_seconds(seconds: float) -> str:
    """Return a duration as people say it: seconds below two minutes, then minutes, hours and days."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
