"""What a version is made of: files, tags, description."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec import atomic
from illmrec.errors import ModelError
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric
from illmrec.evaluation.table import FULL, INTACT, LISTS, MetricsTable
from illmrec.samples.notice import is_synthetic
from pipelines.assembly.contest import RANKED_MODEL
from pipelines.assembly.encoders import name_encoder
from pipelines.assembly.recommender import refuse_other_features
from pipelines.parameters.data import PrepareConfig
from pipelines.parameters.operation import PromoteConfig, RegisterConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lineage import describe_lineage
from pipelines.project.shelf import Shelf
from pipelines.registry.cards.data_card import DATA_CARD, write_data_card
from pipelines.registry.cards.facts import CardFacts, describe_version
from pipelines.registry.cards.model_card import MODEL_CARD, name_knockout, write_model_card
from pipelines.registry.carried import ENCODER_ROLES
from pipelines.registry.ranks import RANKS_FILE, RANKS_TAG, build_ranks, digest_split
from pipelines.registry.serving_cost import ServingCost, probe_serving
from pipelines.registry.tracking import metric_tag
from pipelines.registry.trained_items import TRAINED_ITEMS_FILE, TRAINED_ITEMS_TAG, build_trained_items
from pipelines.registry.verdicts import average_by_key

MODEL_FILES = ("tensors.safetensors", "state.json")
"""What is saved of a trained recommender; see :mod:`illmrec.training.checkpoint`."""
OURS, MODELS = "illmrec", ("illmrec", "sasrec", "popularity")
KEPT_METRICS = ((FULL, HIT_10), (FULL, NDCG_10), (FULL, MRR), (LISTS, Metric("coverage", 10)))
"""Protocols and metrics that a version carries as tags; all others are in its metrics.parquet."""
WITH_INTERVAL = ((FULL, NDCG_10),)
"""Those with the ends of their interval: the registry's page shows every tag of every version, line by line."""
KNOCKOUTS_TAG = "knockouts"
TOLERANCE = 1e-6
"""How far the ranks may be from the metric that was made of them."""


@dataclass(frozen=True)
class Package:
    """What a version is made of, beside the head.

    Args:
        files: copied into the version.
        tags: its tags.
        description: three lines.
        shown: metrics that the run of the training shows.
    """

    files: list[Path]
    tags: dict[str, str]
    description: str
    shown: dict[str, float]


def gather_package(context: Context, name: str, workspace: Path) -> Package:
    """Write the version's own files into ``workspace`` and return everything it consists of.

    Args:
        context: the data set.
        name: the registered model's.
        workspace: an empty folder.

    Raises:
        MissingArtifactError: when a stage has not run.
        ModelError: when a gate refused the data, or artifacts do not belong together.
    """
    shelf, layout = context.shelf, context.layout
    metrics = shelf.read_metrics(ModelError)
    made = [layout.head / "head.json", layout.quality / "profile.json"]
    made += [shelf.require(layout.evaluation / file) for file in ("metrics.parquet", "summary.json")]
    model_files = [shelf.require(layout.model / file) for file in MODEL_FILES]
    lineage = describe_lineage(layout.root, context.params, layout.dataset)
    tags = lineage | _tag_gates(shelf) | _tag_model(shelf)
    tags |= tag_metrics(metrics, context.section(PromoteConfig).metric) | tag_knockouts(metrics)
    _refuse_other_model(shelf)
    ranks = build_ranks(shelf)
    _refuse_other_ranks(ranks, metrics, layout)
    atomic.write_parquet(workspace / RANKS_FILE, ranks)
    (workspace / TRAINED_ITEMS_FILE).write_bytes(build_trained_items(shelf))
    tags |= identify_model(shelf) | {
        RANKS_TAG: atomic.digest_file(workspace / RANKS_FILE),
        TRAINED_ITEMS_TAG: atomic.digest_file(workspace / TRAINED_ITEMS_FILE),
    }
    users = context.section(RegisterConfig).probe_users
    cost = probe_serving(shelf, users) if users else None
    tags |= cost.as_tags() if cost else {}
    facts = _gather_card_facts(context, name, tags, metrics, cost)
    (workspace / MODEL_CARD).write_text(write_model_card(facts), encoding="utf-8")
    (workspace / DATA_CARD).write_text(write_data_card(facts), encoding="utf-8")
    written = [workspace / file for file in (RANKS_FILE, TRAINED_ITEMS_FILE, MODEL_CARD, DATA_CARD)]
    return Package([*made, *model_files, *written], tags, describe_version(facts), pick_metrics(metrics))


def identify_model(shelf: Shelf) -> dict[str, str]:
    """Return the tags that tell the model, its head, its data and what it was ranked on from any other."""
    layout = shelf.layout
    return {
        "onnx_sha256": shelf.head["onnx_sha256"],
        "tensors_sha256": shelf.digest(layout.model / "tensors.safetensors"),
        "state_sha256": shelf.digest(layout.model / "state.json"),
        "profile_sha256": shelf.digest(layout.quality / "profile.json"),
        "split_sha256": digest_split(shelf),
    }


def _gather_card_facts(
    context: Context, name: str, tags: dict[str, str], metrics: MetricsTable, cost: ServingCost | None
) -> CardFacts:
    shelf = context.shelf
    return CardFacts(
        layout=shelf.layout,
        model=name,
        tags=tags,
        metrics=metrics,
        state=shelf.model_state,
        gates={"data": shelf.gate, "feature": shelf.feature_gate},
        summary=shelf.prepare_summary,
        profile=shelf.profile,
        cost=cost,
        confidence=context.section(EvaluateConfig).confidence,
        synthetic=is_synthetic(shelf.layout.root / context.section(PrepareConfig).folder),
    )


def _refuse_other_model(shelf: Shelf) -> None:
    """Refuse a head or ranks of another training than the model's, which a stage that was left out would leave.

    Raises:
        ModelError: when head or ranks are of another model, or the features are not those it was trained with.
    """
    layout = shelf.layout
    tensors = shelf.digest(layout.model / "tensors.safetensors")
    ranks = shelf.require(layout.evaluation / "ranks.parquet")
    made = {
        "the ONNX head is": (layout.head, shelf.head["tensors_sha256"]),
        "the ranks are": (ranks, pl.read_parquet_metadata(ranks).get(RANKED_MODEL)),
    }
    for what, (path, trained) in made.items():
        if trained != tensors:
            hint = f"Run `illmrec {shelf.name_maker(path)}` again."
            raise ModelError(f"{what} of another training than the model.", path=path, hint=hint)
    refuse_other_features(shelf, shelf.model_state)


def _refuse_other_ranks(ranks: pl.DataFrame, metrics: MetricsTable, layout: Layout) -> None:
    """Refuse ranks that are not those behind the metrics: promotion compares the one and people read the other.

    Raises:
        ModelError: when they differ.
    """
    row, expected = metrics.find(MRR, model=OURS), float(average_by_key(ranks, "full/mrr").mean())
    if row is None or abs(row.value - expected) > TOLERANCE:
        hint = f"Run `illmrec evaluate --dataset {layout.dataset}` again."
        claimed = None if row is None else row.value
        message = f"the mrr of {OURS} is {claimed}, but the ranks give {expected:.6f}."
        raise ModelError(message, path=layout.evaluation, hint=hint)


def pick_metrics(metrics: MetricsTable) -> dict[str, float]:
    """Return the numbers that a run shows, by name; each would be a chart of its own."""
    rows = {
        f"{model}/{protocol}/{metric}": metrics.find(metric, model=model, protocol=protocol)
        for model in MODELS
        for protocol, metric in KEPT_METRICS
    }
    return {name: row.value for name, row in rows.items() if row is not None}


def tag_metrics(metrics: MetricsTable, judged: str) -> dict[str, str]:
    """Return the numbers that a version carries as tags.

    Args:
        metrics: of the evaluation.
        judged: what promotion compares, such as ``full/ndcg@10``; it is tagged too.
    """
    tags: dict[str, str] = {}
    for protocol, metric in dict.fromkeys((*KEPT_METRICS, (FULL, Metric.parse(judged.removeprefix("full/"))))):
        row = metrics.find(metric, model=OURS, protocol=protocol)
        if row is None:
            continue
        estimate = row.estimate if (protocol, metric) in WITH_INTERVAL else None
        cells = {f"{protocol}/{metric}": row.value} if estimate is None else estimate.as_columns(f"{protocol}/{metric}")
        tags |= {metric_tag(name): f"{value:.6f}" for name, value in cells.items()}
    return tags


def _tag_gates(shelf: Shelf) -> dict[str, str]:
    """Return what the gates said.

    Raises:
        ModelError: when one of them refused the data.
    """
    _refuse_refused(shelf, shelf.gate, shelf.layout.quality)
    _refuse_refused(shelf, shelf.feature_gate, shelf.layout.feature_quality)
    return {
        "quality_gate": "passed",
        "quality_gate_warnings": str(shelf.gate["warnings"]),
        "feature_gate": "passed",
        "feature_gate_warnings": str(shelf.feature_gate["warnings"]),
        "feature_gate_not_checked": str(len(shelf.feature_gate["not_checked"])),
    }


def _refuse_refused(shelf: Shelf, gate: Mapping[str, Any], folder: Path) -> None:
    if not gate["passed"]:
        hint = f"Run `illmrec {shelf.name_maker(folder)}`."
        raise ModelError("the quality gate refused this data.", path=folder, hint=hint)


def _tag_model(shelf: Shelf) -> dict[str, str]:
    """Return what the model was made of and how far its head differs from it."""
    state, parity = shelf.model_state, shelf.head["parity"]
    return {
        "onnx_max_difference": f"{max(parity['max_user_difference'], parity['max_item_difference']):.3g}",
        "onnx_same_top10_share": f"{parity['same_top10_share']:.6f}",
        "item_digest": state["item_digest"],
        "started_from": f"version {state['start']['version']}" if state.get("start") else "scratch",
        **{role: f"{name_encoder(state[role])} {state[role]['revision']}" for role in ENCODER_ROLES},
    }


def tag_knockouts(metrics: MetricsTable) -> dict[str, str]:
    """Return by how much wrong pictures and titles change NDCG@10, as one tag: MLflow's page has a line for every tag.

    Returns:
        ``knockouts``: JSON, such as ``shuffled in prompt`` -> difference and the ends of its interval; nothing
        where there were none.
    """
    gaps = {
        name_knockout(row).removeprefix("images "): [
            round(end, 6) for end in (row.value, row.low, row.high) if end is not None
        ]
        for row in metrics.select(NDCG_10, model=OURS, against=INTACT)
    }
    return {KNOCKOUTS_TAG: json.dumps(gaps, sort_keys=True)} if gaps else {}
