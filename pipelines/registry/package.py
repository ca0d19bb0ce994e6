"""What a version is made of: files, tags, description."""

from __future__ import annotations

import json
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
from pipelines.assembly.recommender import refuse_other_features
from pipelines.parameters.data import PrepareConfig
from pipelines.parameters.operation import PromoteConfig, RegisterConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.artifacts import read_object
from pipelines.project.context import Context
from pipelines.project.layout import Layout, require
from pipelines.project.lineage import describe_lineage
from pipelines.project.shelf import Shelf
from pipelines.registry.cards.data_card import DATA_CARD, write_data_card
from pipelines.registry.cards.facts import CardFacts, describe_version
from pipelines.registry.cards.model_card import MODEL_CARD, write_model_card
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


@dataclass(frozen=True)
class Package:
    """What a version is made of, beside the head.

    Args:
        files: copied into the version.
        tags: its tags.
        description: three lines.
    """

    files: list[Path]
    tags: dict[str, str]
    description: str


def gather_package(context: Context, name: str, about: dict[str, Any], workspace: Path) -> Package:
    """Write the version's own files into ``workspace`` and return everything it consists of."""
    layout, dataset = context.layout, context.layout.dataset
    model_files = [require(layout.model / file, f"train --dataset {dataset}") for file in MODEL_FILES]
    state = read_object(layout.model / "state.json", f"train --dataset {dataset}", ("state",), ModelError)["state"]
    tags = describe_lineage(layout.root, context.params, dataset) | _describe_version(context, about, state)
    _refuse_other_model(layout, about, state)
    ranks = build_ranks(layout)
    _refuse_other_ranks(ranks, _read_metrics(context), layout)
    atomic.write_parquet(workspace / RANKS_FILE, ranks)
    (workspace / TRAINED_ITEMS_FILE).write_bytes(build_trained_items(layout, state))
    tags |= {
        RANKS_TAG: atomic.digest_file(workspace / RANKS_FILE),
        TRAINED_ITEMS_TAG: atomic.digest_file(workspace / TRAINED_ITEMS_FILE),
        "split_sha256": digest_split(layout),
    }
    cost = _measure_cost(context)
    tags |= cost.as_tags() if cost else {}
    facts = _gather_card_facts(context, name, state, tags, cost)
    (workspace / MODEL_CARD).write_text(write_model_card(facts), encoding="utf-8")
    (workspace / DATA_CARD).write_text(write_data_card(facts), encoding="utf-8")
    own = [workspace / file for file in (RANKS_FILE, TRAINED_ITEMS_FILE, MODEL_CARD, DATA_CARD)]
    made = [layout.head / "head.json", layout.quality / "profile.json"]
    made += [context.shelf.require(layout.evaluation / name) for name in ("metrics.parquet", "summary.json")]
    return Package([*made, *model_files, *own], tags, describe_version(facts))


def _measure_cost(context: Context) -> ServingCost | None:
    users = context.section(RegisterConfig).probe_users
    return probe_serving(context.layout, users) if users else None


def _gather_card_facts(
    context: Context, name: str, state: dict[str, Any], tags: dict[str, str], cost: ServingCost | None
) -> CardFacts:
    layout, dataset = context.layout, context.layout.dataset
    return CardFacts(
        layout=layout,
        model=name,
        tags=tags,
        metrics=_read_metrics(context),
        state=state,
        gates={
            "data": _read_gate(layout.quality, f"validate --dataset {dataset}"),
            "feature": _read_gate(layout.feature_quality, f"validate-features --dataset {dataset}"),
        },
        summary=read_object(layout.prepared / "summary.json", f"prepare --dataset {dataset}"),
        profile=read_object(layout.quality / "profile.json", f"validate --dataset {dataset}"),
        cost=cost,
        confidence=context.section(EvaluateConfig).confidence,
        synthetic=is_synthetic(layout.root / context.section(PrepareConfig).folder),
    )


def _refuse_other_model(layout: Layout, about: dict[str, Any], state: dict[str, Any]) -> None:
    """Refuse a head or ranks of another training than the model's, which a stage that was left out would leave.

    Raises:
        ModelError: when head or ranks are of another model, or the features are not those it was trained with.
    """
    tensors = atomic.digest_file(layout.model / "tensors.safetensors")
    ranks = require(layout.evaluation / "ranks.parquet", f"evaluate --dataset {layout.dataset}")
    made = {
        "export": (layout.head, "the ONNX head is", about["tensors_sha256"]),
        "evaluate": (ranks, "the ranks are", pl.read_parquet_metadata(ranks).get(RANKED_MODEL)),
    }
    for command, (path, what, found) in made.items():
        if found != tensors:
            hint = f"Run `illmrec {command} --dataset {layout.dataset}` again."
            raise ModelError(f"{what} of another training than the model.", path=path, hint=hint)
    refuse_other_features(Shelf(layout), state)


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


TOLERANCE = 1e-6


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


def _describe_version(context: Context, about: dict[str, Any], state: dict[str, Any]) -> dict[str, str]:
    """Return the tags that later decisions read: metrics with intervals, gates, data profile, parity, encoders."""
    layout, dataset = context.layout, context.layout.dataset
    gate = _read_gate(layout.quality, f"validate --dataset {dataset}")
    features = _read_gate(layout.feature_quality, f"validate-features --dataset {dataset}")
    profile = require(layout.quality / "profile.json", f"validate --dataset {dataset}")
    metrics = _read_metrics(context)
    parity = about["parity"]
    return tag_metrics(metrics, context.section(PromoteConfig).metric) | {
        "quality_gate": "passed",
        "quality_gate_warnings": str(gate["warnings"]),
        "feature_gate": "passed",
        "feature_gate_warnings": str(features["warnings"]),
        "feature_gate_not_checked": str(len(features["not_checked"])),
        "profile_sha256": atomic.digest_file(profile),
        "onnx_sha256": about["onnx_sha256"],
        "tensors_sha256": atomic.digest_file(layout.model / "tensors.safetensors"),
        "state_sha256": atomic.digest_file(layout.model / "state.json"),
        "onnx_max_difference": f"{max(parity['max_user_difference'], parity['max_item_difference']):.3g}",
        "onnx_same_top10_share": f"{parity['same_top10_share']:.6f}",
        "item_digest": state["item_digest"],
        **tag_knockouts(metrics),
        "started_from": f"version {state['start']['version']}" if state.get("start") else "scratch",
        **{f"{role}": f"{state[role]['name']} {state[role]['revision']}" for role in ENCODER_ROLES},
    }


def tag_knockouts(metrics: MetricsTable) -> dict[str, str]:
    """Return by how much wrong pictures change NDCG@10, as one tag: MLflow's page has a line for every tag.

    Returns:
        ``knockouts``: JSON, such as ``shuffled in prompt`` -> difference and the ends of its interval; nothing where
        there were none.
    """
    gaps = {
        f"{row.variant} in {row.place}": [round(end, 6) for end in (row.value, row.low, row.high) if end is not None]
        for row in metrics.select(NDCG_10, model=OURS, against=INTACT)
    }
    return {KNOCKOUTS_TAG: json.dumps(gaps, sort_keys=True)} if gaps else {}


KNOCKOUTS_TAG = "knockouts"


def _read_gate(folder: Path, command: str) -> dict[str, Any]:
    """Return what a gate said of the data or the features.

    Raises:
        ModelError: when it refused them.
    """
    gate = read_object(folder / "gate.json", command, ("passed",))
    if not gate["passed"]:
        raise ModelError("the quality gate refused this data.", path=folder, hint=f"Run `illmrec {command}`.")
    return gate


def _read_metrics(context: Context) -> MetricsTable:
    return context.shelf.read_metrics(ModelError)


HEAD_KEYS = ("onnx_sha256", "parity", "tensors_sha256")
"""What the export says of itself and a version needs."""


ENCODER_ROLES = ("backbone", "image_encoder", "text_encoder")
