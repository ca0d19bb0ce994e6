"""Job ``cost``: what training, evaluation and a nightly export will take on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from illmrec.config import RecommendConfig, TrainConfig
from pipelines.context import Context, dataset_options, open_context

if TYPE_CHECKING:
    from illmrec.models.recommender import Recommender
    from illmrec.training.cost import Work


@dataclass(frozen=True)
class Price:
    """What one command takes; ``steps`` is None where there are none."""

    users: int
    steps: int | None
    tokens: int
    tflop: float
    seconds: float
    memory_mb: float


@click.command()
@dataset_options
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600.0), help="Length of the probe."
)
def command(dataset: str, as_json: bool, seconds: float) -> None:
    r"""Say what training, evaluation and a night will take, before any of it is done.

    Prompt tokens are counted, not guessed. Speed is measured with this data set's own prompts on this machine, in a
    short probe of training and of scoring. Training is given for all epochs; it may stop earlier. Memory is that of
    weights and activations; Python and its libraries come on top. Features and CF model must be there; nothing is
    written.

    \b
    Example:
      illmrec cost --dataset amazon
      illmrec cost --dataset amazon --seconds 30 --json
    """
    context = open_context(dataset, as_json)
    prices, facts = estimate(context, seconds)
    if as_json:
        flat = {f"{name}/{key}": value for name, price in prices.items() for key, value in asdict(price).items()}
        context.emit(flat | facts)
        return
    _show(prices, facts)


def estimate(context: Context, seconds: float) -> tuple[dict[str, Price], dict[str, Any]]:
    """Return the price of each command, and the rates it was worked out from.

    Raises:
        MissingArtifactError: when a stage before training has not run.
    """
    from illmrec.training.cost import count_scoring, count_training, estimate_memory, probe_scoring, probe_training
    from pipelines.assembly import load_sequences, pick_device
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
    heads = model.parts.heads
    vectors = 4.0 * (len(rows) + model.n_items) * heads.shared_width * len(heads.kinds)
    loaded = model.backbone.weight_bytes

    def price(work: Work, users: int, steps: int | None, took: float, memory: float) -> Price:
        return Price(users, steps, work.tokens, work.flops / 1e12, took, memory / 1e6)

    # Both read every user and rank the whole catalog; what else they do (intervals, writing) is small beside it.
    scored = price(
        scoring,
        len(rows),
        None,
        scoring.tokens / score_rate + len(rows) * model.n_items / search_rate,
        loaded + vectors,
    )
    prices = {
        "train": price(
            training, len(trainer.plan(0)), trainer.total_steps, training.tokens / train_rate, weights + activations
        ),
        "evaluate": scored,
        "recommend": scored,
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
    names = ["users", "steps", "tokens", "TFLOP", "time", "memory"]
    lines = [["", *names]]
    for name, price in prices.items():
        steps = "-" if price.steps is None else f"{price.steps:,}"
        lines.append([name, f"{price.users:,}", steps, f"{price.tokens:,}", f"{price.tflop:,.3g}",
                      describe_seconds(price.seconds), f"{price.memory_mb:,.0f} MB"])  # fmt: skip
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
