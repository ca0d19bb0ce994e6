"""Stage ``evaluate``: ranking metrics of I-LLMRec, SASRec and popularity on the same test targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_INDEX, NEGATIVES, TARGETS, USER_INDEX
from illmrec.config import EvaluateConfig
from pipelines.artifacts import read_object, read_table
from pipelines.context import dataset_options, open_context
from pipelines.layout import Layout, require
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.catalog import Catalog
    from illmrec.data.histories import Indices, Ragged, Sequences
    from illmrec.evaluation.protocol import Cases, Ranked, Scorer
    from illmrec.evaluation.slices import SliceRow
    from illmrec.evaluation.summary import Resampling
    from illmrec.models.recommender import Recommender

OURS = "illmrec"
MODELS = (OURS, "sasrec", "popularity")
POOLS = {"sampled": "negatives", "popular": "popular_negatives"}
"""Protocol -> table of the split that holds its candidates."""
PLOTTED = ("full", *POOLS)


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Rank each user's test targets among the full catalog and among stored candidates, and see what lists are like.

    Items the user has already interacted with are no candidates. Tied scores share the average of their ranks. Every
    metric comes with a bootstrap interval over users; differences between models are paired and tested. Slices say
    where a model is good, wrong pictures say whether it uses pictures. Prints all of it with --json, else the main
    figures.

    \b
    Example:
      illmrec evaluate --dataset amazon --json
    """
    context = open_context(dataset, as_json)
    config, layout = context.section(EvaluateConfig), context.layout
    with hold_lock(layout.lock("evaluate")):
        atomic.sweep_partial(layout.artifacts, layout.evaluation.name)
        metrics = evaluate(layout, config)
    context.emit(metrics if as_json else pick_main(metrics))


RANKED_MODEL = "illmrec.tensors_sha256"
"""Metadata of ranks.parquet: which model the ranks are of."""


@dataclass(frozen=True)
class Material:
    """What is evaluated on.

    Args:
        catalog: the items.
        sequences: the split.
        cases: users with targets.
        allowed: ``bool [n_items]``: candidates of the full catalog; None for all.
        popularity: ``int64 [n_items]``: training interactions of each item.
        pictured: ``bool [n_items]``: items with a picture of their own.
    """

    catalog: Catalog
    sequences: Sequences
    cases: Cases
    allowed: npt.NDArray[np.bool_] | None
    popularity: npt.NDArray[np.int64]
    pictured: npt.NDArray[np.bool_]

    @property
    def histories(self) -> list[Indices]:
        """Return the history of each user of the cases."""
        return [self.cases.histories[user] for user in range(len(self.cases))]


def evaluate(layout: Layout, config: EvaluateConfig) -> dict[str, Any]:
    """Write metrics.json, ranks.parquet, slices.csv and plot data; return the metrics.

    Keys read as :mod:`illmrec.evaluation.keys` says.
    """
    from illmrec.evaluation.lists import code_categories, describe_tastes
    from illmrec.evaluation.protocol import rank_cases
    from illmrec.evaluation.slices import divide_cases, measure_slices
    from illmrec.evaluation.summary import Resampling
    from illmrec.evaluation.tables import summarise_lists, summarise_ranks
    from pipelines.assembly import load_recommender

    how = Resampling(config.bootstrap_samples, config.confidence, config.permutations, config.seed)
    material = load_material(layout)
    pools, named, counts = load_pools(layout, material, config)
    model = load_recommender(layout, require(layout.model, f"train --dataset {layout.dataset}"))
    vectors = model.project_users(model.represent_users(material.histories, config.batch_size)), model.represent_items()
    ranked = {
        name: rank_cases(
            scorer,
            material.cases,
            pools,
            list_length=max(config.cutoffs),
            allowed=material.allowed,
            label=f"rank by {name}",
        )
        for name, scorer in build_scorers(layout, material, vectors)
    }
    slices = divide_cases(material.cases, material.popularity, material.pictured, config.history_bins)
    full = {name: found.ranks["full"] for name, found in ranked.items()}
    tastes = describe_tastes(material.cases.histories, *code_categories(material.catalog.items["category"]))
    rows = measure_slices(slices, material.cases, full, how)
    metrics = {
        **summarise_ranks(ranked, material.cases, named, config.cutoffs, how),
        **summarise_lists(ranked, material.popularity, tastes, config.cutoffs, how),
        **measure_knockouts(model, material, vectors, full[OURS], config, how),
        **_count_cases(material),
        **{f"cases/candidate_{name}": count for name, count in counts.items()},
    }
    _write(layout, metrics, _tabulate_ranks(material.cases, ranked, named), rows, config.cutoffs)
    return metrics


def load_material(layout: Layout) -> Material:
    """Open the split, the catalog and what is known of its items."""
    import numpy as np

    from illmrec.data.histories import Ragged
    from illmrec.evaluation.protocol import Cases
    from pipelines.assembly import load_catalog, load_features, load_sequences

    catalog, sequences = load_catalog(layout), load_sequences(layout)
    remedy = f"split --dataset {layout.dataset}"
    targets = read_table(layout.split / "targets.parquet", remedy, TARGETS).sort(USER_INDEX, maintain_order=True)
    users, firsts = np.unique(targets[USER_INDEX].to_numpy(), return_index=True)
    offsets = np.append(firsts, targets.height).astype(np.int64)
    histories = sequences.histories("test")
    cases = Cases(users.astype(np.int64), histories.take(users), Ragged(targets[ITEM_INDEX].to_numpy(), offsets))
    summary = read_object(layout.split / "summary.json", remedy, ("method",))
    allowed = None
    if summary["method"] == "global_time":  # items that appeared later were no candidates then
        allowed = np.bincount(histories.values, minlength=len(catalog)) > 0
    popularity = np.bincount(sequences.train.values, minlength=len(catalog))
    pictured = load_features(layout, catalog, ("image",))["image"].present
    return Material(catalog, sequences, cases, allowed, popularity, pictured)


def load_pools(
    layout: Layout, material: Material, config: EvaluateConfig
) -> tuple[dict[str, Ragged], dict[str, npt.NDArray[np.bool_]], dict[str, int]]:
    """Return candidates by protocol, which users each protocol can rank, and what a file of candidates held."""
    import numpy as np

    from illmrec.data.histories import ragged_from_column
    from illmrec.evaluation.candidate_file import read_candidates

    remedy = f"split --dataset {layout.dataset}"
    pools = {
        protocol: ragged_from_column(read_table(layout.split / f"{table}.parquet", remedy, NEGATIVES)["negatives"])
        for protocol, table in POOLS.items()
    }
    pools = {protocol: pool.take(material.cases.users) for protocol, pool in pools.items()}
    named = {protocol: np.ones(len(material.cases), dtype=np.bool_) for protocol in ("full", *pools)}
    if config.candidates is None:
        return pools, named, {}
    path = layout.root / config.candidates
    given = read_candidates(path, material.cases, material.sequences.user_ids, material.catalog)
    return pools | {"candidates": given.pool}, named | {"candidates": given.named}, given.counts


def build_scorers(
    layout: Layout, material: Material, vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
) -> Iterable[tuple[str, Scorer]]:
    """Yield the scorers of all models in the order of :data:`MODELS`, one in memory at a time.

    Args:
        layout: where the models lie.
        material: what is evaluated on.
        vectors: I-LLMRec's users of the cases, and its items.
    """
    from illmrec.evaluation.protocol import DotScorer, PopularityScorer
    from pipelines.assembly import load_sasrec

    yield OURS, DotScorer(*vectors)
    sasrec, _ = load_sasrec(layout)
    yield "sasrec", DotScorer(sasrec.represent_users(material.histories), sasrec.represent_items())
    yield "popularity", PopularityScorer(material.sequences.train, len(material.catalog))


def measure_knockouts(
    model: Recommender,
    material: Material,
    vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    intact: npt.NDArray[np.float64],
    config: EvaluateConfig,
    how: Resampling,
) -> dict[str, float]:
    """Return I-LLMRec's metrics with wrong pictures, and the paired differences to the intact model.

    Args:
        model: the trained model.
        material: what is evaluated on.
        vectors: its users of the cases, and its items.
        intact: ``float64 [c]``: its ranks in the full catalog.
        config: the section.
        how: resampling of users.
    """
    import numpy as np

    from illmrec.evaluation.knockouts import list_knockouts, score_knockouts
    from illmrec.evaluation.protocol import rank_cases
    from illmrec.evaluation.tables import summarise_variants
    from illmrec.seeds import generator

    users = np.arange(len(material.cases))
    if not config.knockout_users or not list_knockouts(model):
        return {}
    if len(users) > config.knockout_users:
        drawn = generator(config.seed, "knock-out users").choice(users, config.knockout_users, replace=False)
        users = np.sort(drawn)
    cases = material.cases.choose(users)
    histories = [cases.histories[user] for user in range(len(cases))]
    scorers = score_knockouts(
        model, histories, vectors[0][users], vectors[1], batch_size=config.batch_size, seed=config.seed
    )
    variants = {
        knockout.name: rank_cases(scorer, cases, allowed=material.allowed).ranks["full"] for knockout, scorer in scorers
    }
    own = intact[np.isin(material.cases.owners, users)]
    return {"cases/knockout_users": len(users), **summarise_variants(OURS, own, variants, cases, how)}


def _count_cases(material: Material) -> dict[str, float]:
    from illmrec.evaluation.slices import find_repeats

    targets = material.cases.targets.values
    return {
        "cases/users": len(material.cases),
        "cases/targets": len(targets),
        "cases/items": len(material.catalog) if material.allowed is None else int(material.allowed.sum()),
        "cases/targets_without_image_share": float((~material.pictured[targets]).mean()),
        "cases/targets_unseen_in_training_share": float((material.popularity[targets] == 0).mean()),
        "cases/repeat_targets_share": float(find_repeats(material.cases).mean()),
    }


def _tabulate_ranks(
    cases: Cases, ranked: Mapping[str, Ranked], named: Mapping[str, npt.NDArray[np.bool_]]
) -> pl.DataFrame:
    """Return a row per target: user_index, item_index and ranks, null where a protocol cannot rank the user."""
    columns: dict[str, Any] = {USER_INDEX: cases.users[cases.owners], ITEM_INDEX: cases.targets.values}
    for model, found in ranked.items():
        for protocol, ranks in found.ranks.items():
            mask = pl.Series(named[protocol][cases.owners])
            columns[f"{model}_{protocol}"] = pl.Series(ranks).zip_with(mask, pl.Series([None], dtype=pl.Float64))
    return pl.DataFrame(columns).cast({USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32})


def _write(
    layout: Layout, metrics: Mapping[str, Any], ranks: pl.DataFrame, slices: list[SliceRow], cutoffs: tuple[int, ...]
) -> None:
    with atomic.write_folder(layout.evaluation) as folder:
        atomic.write_json(folder / "metrics.json", dict(metrics))
        ranked = {RANKED_MODEL: atomic.digest_file(layout.model / "tensors.safetensors")}
        atomic.write_parquet(folder / "ranks.parquet", ranks, ranked)
        tables = {protocol: _plot_rows(metrics, protocol, cutoffs) for protocol in PLOTTED}
        for name, rows in (tables | {"slices": [_describe_slice(row) for row in slices]}).items():
            with atomic.write_file(folder / f"{name}.csv") as file:
                pl.from_dicts(rows).write_csv(file)


def _describe_slice(row: SliceRow) -> dict[str, Any]:
    from illmrec.evaluation.keys import flatten_estimate

    line: dict[str, Any] = {"group": row.slice.group, "slice": row.slice.name, "model": row.model}
    line["targets"] = int(row.slice.members.sum())
    for metric, estimate in row.estimates.items():
        line |= flatten_estimate(metric, estimate)
    return line


def _plot_rows(metrics: Mapping[str, float], protocol: str, cutoffs: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {"model": model, "k": k, **{metric: metrics[f"{model}/{protocol}/{metric}@{k}"] for metric in ("hit", "ndcg")}}
        for model in MODELS
        for k in cutoffs
    ]


def pick_main(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a terminal shows: the counts, and means of the full catalog and of the lists, without intervals."""
    ends = (".low", ".high", ".p", ".holm")
    parts = ("cases", "full", "lists")
    shown = [key for key in metrics if not key.endswith(ends) and set(parts) & set(key.split("/"))]
    return {key: metrics[key] for key in shown}
