"""Stage ``evaluate``: ranking metrics of I-LLMRec, SASRec and popularity on the same test targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from illmrec import atomic
from illmrec.columns import USER_INDEX
from illmrec.config import EvaluateConfig
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout, require
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.histories import Ragged, Sequences
    from illmrec.evaluation.protocol import Scorer

MODELS = ("illmrec", "sasrec", "popularity")
PROTOCOLS = ("full", "sampled")


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Rank each user's test target among the full catalog, and among the stored sampled negatives.

    Items the user has already interacted with are no candidates. Tied scores share the average of their ranks. Every
    metric comes with a bootstrap interval over users; differences to SASRec are paired.

    \b
    Example:
      illmrec evaluate --dataset amazon --json
    """
    context = open_context(dataset, as_json)
    config, layout = context.section(EvaluateConfig), context.layout
    with hold_lock(layout.lock("evaluate")):
        atomic.sweep_partial(layout.artifacts, layout.evaluation.name)
        metrics = evaluate(layout, config)
    context.emit(metrics)


def evaluate(layout: Layout, config: EvaluateConfig) -> dict[str, Any]:
    """Write metrics.json, ranks.parquet and plot data; return the metrics.

    Keys read ``model/protocol/metric`` with ``.low`` and ``.high`` for the interval's ends.
    """
    from illmrec.evaluation.protocol import rank_users
    from pipelines.assembly import load_negatives, load_sequences

    sequences, negatives = load_sequences(layout), load_negatives(layout)
    histories = sequences.histories("test")
    ranks = {
        model: rank_users(scorer, histories, sequences.test, negatives)
        for model, scorer in build_scorers(layout, sequences, histories, config).items()
    }
    metrics = summarise_ranks(ranks, config)
    facts = metrics | _count_cases(layout, sequences, histories)
    with atomic.write_folder(layout.evaluation) as folder:
        atomic.write_json(folder / "metrics.json", facts)
        columns = {f"{model}_{name}": values for model, both in ranks.items() for name, values in both.items()}
        table = pl.DataFrame({USER_INDEX: range(len(sequences)), **columns}).cast({USER_INDEX: pl.Int32})
        atomic.write_parquet(folder / "ranks.parquet", table)
        for protocol in PROTOCOLS:
            rows = _plot_rows(metrics, protocol, config.cutoffs)
            with atomic.write_file(folder / f"{protocol}.csv") as file:
                pl.from_dicts(rows).write_csv(file)
    return facts


def build_scorers(
    layout: Layout, sequences: Sequences, histories: Ragged, config: EvaluateConfig
) -> Mapping[str, Scorer]:
    """Return the scorers of all models for the test targets, in the order of :data:`MODELS`."""
    from illmrec.evaluation.protocol import DotScorer, PopularityScorer
    from illmrec.models.sasrec import SasRec
    from illmrec.training.checkpoint import read_tensors
    from pipelines.assembly import load_recommender

    rows = [histories[user] for user in range(len(sequences))]
    model = load_recommender(layout, require(layout.model, f"train --dataset {layout.dataset}"))
    users = model.project_users(model.represent_users(rows, config.batch_size))
    saved = read_tensors(require(layout.cf_model, f"train-cf --dataset {layout.dataset}"))
    sasrec = SasRec(**saved.state["shape"])
    sasrec.load_state_dict(dict(saved.tensors))
    return {
        "illmrec": DotScorer(users, model.represent_items()),
        "sasrec": DotScorer(sasrec.represent_users(rows), sasrec.represent_items()),
        "popularity": PopularityScorer(sequences.train, model.n_items),
    }


def summarise_ranks(
    ranks: Mapping[str, Mapping[str, npt.NDArray[np.float64]]], config: EvaluateConfig
) -> dict[str, float]:
    """Return every metric with its interval, and I-LLMRec's paired differences to SASRec."""
    import numpy as np

    from illmrec.evaluation.intervals import bootstrap_means, interval
    from illmrec.evaluation.metrics import compute_metrics

    result: dict[str, float] = {}
    for protocol in PROTOCOLS:
        by_model = {model: compute_metrics(both[protocol], config.cutoffs) for model, both in ranks.items()}
        pairs = [(model, name) for model, metrics in by_model.items() for name in metrics]
        values = np.stack([by_model[model][name] for model, name in pairs], axis=1)
        means = bootstrap_means(values, config.bootstrap_samples, config.seed)
        for column, (model, name) in enumerate(pairs):
            key = f"{model}/{protocol}/{name}"
            result[key] = float(values[:, column].mean())
            result[f"{key}.low"], result[f"{key}.high"] = interval(means[:, column], config.confidence)
        for name in by_model["illmrec"]:
            ours, theirs = pairs.index(("illmrec", name)), pairs.index(("sasrec", name))
            key = f"illmrec-sasrec/{protocol}/{name}"
            result[key] = float((values[:, ours] - values[:, theirs]).mean())
            low, high = interval(means[:, ours] - means[:, theirs], config.confidence)
            result[f"{key}.low"], result[f"{key}.high"] = low, high
    return result


def _count_cases(layout: Layout, sequences: Sequences, histories: Ragged) -> dict[str, float]:
    import numpy as np

    from illmrec.training.cf import mark_trained_items
    from pipelines.assembly import load_catalog, load_features

    catalog = load_catalog(layout)
    present = load_features(layout, catalog, ("image",))["image"].present
    trained = mark_trained_items(sequences.train, len(catalog))
    targets = sequences.test
    owners = np.repeat(np.arange(len(sequences)), histories.lengths)
    repeats = np.unique(owners[histories.values == targets[owners]])
    return {
        "cases/users": len(sequences),
        "cases/items": len(catalog),
        "cases/targets_without_image_share": float((~present[targets]).mean()),
        "cases/targets_unseen_in_training_share": float((~trained[targets]).mean()),
        "cases/repeat_targets_share": float(len(repeats) / len(sequences)),
    }


def _plot_rows(metrics: Mapping[str, float], protocol: str, cutoffs: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {"model": model, "k": k, **{metric: metrics[f"{model}/{protocol}/{metric}@{k}"] for metric in ("hit", "ndcg")}}
        for model in MODELS
        for k in cutoffs
    ]
