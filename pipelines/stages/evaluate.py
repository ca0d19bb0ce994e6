"""Stage ``evaluate``: ranking metrics of I-LLMRec, SASRec and popularity on the same test targets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.evaluation.headline import summarise_evaluation
from illmrec.evaluation.knockouts import score_knockouts
from illmrec.evaluation.lists import code_categories, describe_tastes
from illmrec.evaluation.metrics import Metric
from illmrec.evaluation.protocol import Cases, DotScorer, PopularityScorer, Ranked, Scorer, rank_cases
from illmrec.evaluation.rank import Ranks
from illmrec.evaluation.slices import SliceRow, divide_cases, find_repeats, measure_slices
from illmrec.evaluation.summary import Resampling
from illmrec.evaluation.table import CASES, Measurement, MetricsTable, measure_single, write_metrics
from illmrec.evaluation.tables import Variant, summarise_lists, summarise_ranks, summarise_variants
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from pipelines.assembly.contest import POOLS, RANKED_MODEL, Material, load_material, load_pools
from pipelines.assembly.recommender import load_recommender, load_sasrec, take_titles_away
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage

OURS, RIVAL, BASELINE = "illmrec", "sasrec", "popularity"
MODELS = (OURS, RIVAL, BASELINE)
PLOTTED = ("full", *POOLS)


@stage("evaluate")
def run(context: Context) -> Facts:
    """Rank the test targets of the data set; return the summary, and every row of the table of metrics."""
    table = evaluate(context.shelf, context.section(EvaluateConfig))
    return {"summary": summarise_evaluation(table, OURS, RIVAL, BASELINE), "metrics": table.as_rows()}


def evaluate(shelf: Shelf, config: EvaluateConfig) -> MetricsTable:
    """Write metrics.parquet, summary.json, ranks.parquet, slices.csv and plot data; return the metrics."""
    how = Resampling(config.bootstrap_samples, config.confidence, config.permutations, config.seed)
    material = load_material(shelf)
    pools, named, counts = load_pools(shelf, material, config)
    model = load_recommender(shelf, shelf.require(shelf.layout.model))
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
        for name, scorer in build_scorers(shelf, material, vectors)
    }
    slices = divide_cases(material.cases, material.popularity, material.pictured, config.history_bins)
    full = {name: each.ranks["full"] for name, each in ranked.items()}
    tastes = describe_tastes(material.cases.histories, *code_categories(material.catalog.items["category"]))
    table = MetricsTable(
        [
            *summarise_ranks(ranked, material.cases, named, config.cutoffs, how),
            *summarise_lists(ranked, material.popularity, tastes, config.cutoffs, how),
            *measure_knockouts(shelf, model, material, vectors, full[OURS], config, how),
            *_count_cases(material),
            *(_count(f"candidate_{name}", count) for name, count in counts.items()),
        ]
    )
    by_slice = measure_slices(slices, material.cases, full, how)
    _write(shelf.layout, table, _tabulate_ranks(material.cases, ranked, named), by_slice, config.cutoffs)
    return table


def build_scorers(
    shelf: Shelf, material: Material, vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
) -> Iterable[tuple[str, Scorer]]:
    """Yield the scorers of all models in the order of :data:`MODELS`, one in memory at a time.

    Args:
        shelf: where the models lie.
        material: what is evaluated on.
        vectors: I-LLMRec's users of the cases, and its items.
    """
    yield OURS, DotScorer(*vectors)
    sasrec, _ = load_sasrec(shelf)
    yield "sasrec", DotScorer(sasrec.represent_users(material.histories), sasrec.represent_items())
    yield "popularity", PopularityScorer(material.sequences.train, len(material.catalog))


def measure_knockouts(
    shelf: Shelf,
    model: Recommender,
    material: Material,
    vectors: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    intact: npt.NDArray[np.float64],
    config: EvaluateConfig,
    how: Resampling,
) -> list[Measurement]:
    """Return I-LLMRec's metrics with wrong pictures or titles, and the paired differences to the intact model.

    Args:
        shelf: where the model lies.
        model: the trained model.
        material: what is evaluated on.
        vectors: its users of the cases, and its items.
        intact: ``float64 [c]``: its ranks in the full catalog.
        config: the section.
        how: resampling of users.
    """
    users = np.arange(len(material.cases))
    if not config.knockout_users:
        return []
    if len(users) > config.knockout_users:
        drawn = generator(config.seed, "knock-out users").choice(users, config.knockout_users, replace=False)
        users = np.sort(drawn)
    cases = material.cases.choose(users)
    histories = [cases.histories[user] for user in range(len(cases))]
    pictures = score_knockouts(
        model, histories, vectors[0][users], vectors[1], batch_size=config.batch_size, seed=config.seed
    )
    titles = take_titles_away(shelf, model, histories, vectors[1], config.batch_size)
    variants: dict[Variant, Ranks] = {
        (knockout.wrong, knockout.place): rank_cases(scorer, cases, allowed=material.allowed).ranks["full"]
        for knockout, scorer in itertools.chain(pictures, titles)
    }
    if not variants:
        return []
    same_users = intact[np.isin(material.cases.owners, users)]
    return [_count("knockout_users", len(users)), *summarise_variants(OURS, same_users, variants, cases, how)]


def _count_cases(material: Material) -> list[Measurement]:
    targets = material.cases.targets.values
    items = len(material.catalog) if material.allowed is None else int(material.allowed.sum())
    return [
        _count("users", len(material.cases)),
        _count("targets", len(targets)),
        _count("items", items),
        _count("targets_without_image_share", float((~material.pictured[targets]).mean())),
        _count("targets_unseen_in_training_share", float((material.popularity[targets] == 0).mean())),
        _count("repeat_targets_share", float(find_repeats(material.cases).mean())),
    ]


def _count(name: str, value: float) -> Measurement:
    return measure_single(Metric(name), value, protocol=CASES)


def _tabulate_ranks(
    cases: Cases, ranked: Mapping[str, Ranked], named: Mapping[str, npt.NDArray[np.bool_]]
) -> pl.DataFrame:
    """Return a row per target: user_index, item_index and ranks, null where a protocol cannot rank the user."""
    columns: dict[str, Any] = {USER_INDEX: cases.users[cases.owners], ITEM_INDEX: cases.targets.values}
    for model, each in ranked.items():
        for protocol, ranks in each.ranks.items():
            mask = pl.Series(named[protocol][cases.owners])
            columns[f"{model}_{protocol}"] = pl.Series(ranks).zip_with(mask, pl.Series([None], dtype=pl.Float64))
    return pl.DataFrame(columns).cast({USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32})


def _write(
    layout: Layout, table: MetricsTable, ranks: pl.DataFrame, slices: list[SliceRow], cutoffs: tuple[int, ...]
) -> None:
    with atomic.write_folder(layout.evaluation) as folder:
        write_metrics(folder / "metrics.parquet", table)
        atomic.write_json(folder / "summary.json", summarise_evaluation(table, OURS, RIVAL, BASELINE))
        ranked = {RANKED_MODEL: atomic.digest_file(layout.model / "tensors.safetensors")}
        atomic.write_parquet(folder / "ranks.parquet", ranks, ranked)
        plots = {protocol: _plot_rows(table, protocol, cutoffs) for protocol in PLOTTED}
        for name, rows in (plots | {"slices": [_describe_slice(row) for row in slices]}).items():
            with atomic.write_file(folder / f"{name}.csv") as file:
                pl.from_dicts(rows).write_csv(file)


def _describe_slice(row: SliceRow) -> dict[str, Any]:
    line: dict[str, Any] = {"group": row.slice.group, "slice": row.slice.name, "model": row.model}
    line["targets"] = int(row.slice.members.sum())
    for metric, estimate in row.estimates.items():
        line |= estimate.as_columns(str(metric))
    return line


def _plot_rows(table: MetricsTable, protocol: str, cutoffs: tuple[int, ...]) -> list[dict[str, Any]]:
    return [
        {
            "model": model,
            "k": k,
            **{name: table.value(Metric(name, k), model=model, protocol=protocol) for name in ("hit", "ndcg")},
        }
        for model in MODELS
        for k in cutoffs
    ]
