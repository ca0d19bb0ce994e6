"""Job ``register``: the exported head becomes a version in the model registry."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from illmrec import atomic
from illmrec.config import RegisterConfig
from illmrec.errors import ModelError
from pipelines.context import Context, dataset_options, open_context
from pipelines.layout import require
from pipelines.lineage import describe_lineage
from pipelines.lock import hold_lock


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Register the exported head in MLflow, with its lineage as tags, under the alias `challenger`.

    The version holds the ONNX head and the small trained parts that turn histories into user vectors; the backbone is
    named by its pinned revision, not copied. Nothing is published until `promote`.

    \b
    Example:
      illmrec register --dataset amazon
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = register(context)
    context.emit(facts)


def register(context: Context) -> dict[str, Any]:
    """Create the version, write a receipt, return what was registered."""
    import onnx

    from illmrec.scoring.head import Head
    from pipelines.tracking import CHALLENGER, EXPERIMENT, Tracker, infer_head_signature

    layout, config = context.layout, context.section(RegisterConfig)
    dataset = layout.dataset
    about = json.loads(require(layout.head / "head.json", f"export --dataset {dataset}").read_text(encoding="utf-8"))
    head = Head(layout.head / "head.onnx", about["onnx_sha256"])
    model_files = [require(layout.model / name, f"train --dataset {dataset}") for name in MODEL_FILES]
    state = json.loads((layout.model / "state.json").read_text(encoding="utf-8"))["state"]
    tags = describe_lineage(layout.root, context.params, dataset) | _describe_version(context, about, state)
    example, signature = infer_head_signature(head.llm_width, head.widths)
    tracker = Tracker(layout.root)
    made_by = tracker.find_run(EXPERIMENT, tags["tensors_sha256"])
    run = tracker.start_run(EXPERIMENT, dataset, run_id=made_by)
    run.log(0, {key.replace("@", "_at_"): float(value) for key, value in _read_metrics(context).items()})
    released = tracker.register(
        run.run_id,
        config.name_prefix + dataset,
        onnx.load(layout.head / "head.onnx", load_external_data=False),
        signature=signature,
        example=example,
        extra_files=[layout.head / "head.json", layout.quality / "profile.json", *model_files],
        tags=tags,
        alias=CHALLENGER,
    )
    run.finish()
    receipt = {"model": released.name, "version": released.version, "alias": CHALLENGER, "mlflow_run": run.run_id}
    write_receipt(layout.receipts, "register", receipt | {"tags": tags})
    return receipt


MODEL_FILES = ("tensors.safetensors", "state.json")
"""What is saved of a trained recommender; see :mod:`illmrec.training.checkpoint`."""


def _describe_version(context: Context, about: dict[str, Any], state: dict[str, Any]) -> dict[str, str]:
    """Return the tags that later decisions read: metrics with intervals, gates, data profile, parity, encoders."""
    from pipelines.tracking import metric_tag

    layout, dataset = context.layout, context.layout.dataset
    gate = _read_gate(layout.quality, f"validate --dataset {dataset}")
    features = _read_gate(layout.feature_quality, f"validate-features --dataset {dataset}")
    profile = require(layout.quality / "profile.json", f"validate --dataset {dataset}")
    kept = {
        metric_tag(key.removeprefix("illmrec/")): f"{value:.6f}"
        for key, value in _read_metrics(context).items()
        if key.startswith("illmrec/full/")
    }
    parity = about["parity"]
    return kept | {
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
        **{f"{role}": f"{state[role]['name']} {state[role]['revision']}" for role in ENCODER_ROLES},
    }


def _read_gate(folder: Path, command: str) -> dict[str, Any]:
    """Return what a gate said of the data or the features.

    Raises:
        ModelError: when it refused them.
    """
    gate: dict[str, Any] = json.loads(require(folder / "gate.json", command).read_text(encoding="utf-8"))
    if not gate["passed"]:
        raise ModelError("the quality gate refused this data.", path=folder, hint=f"Run `illmrec {command}`.")
    return gate


def _read_metrics(context: Context) -> dict[str, float]:
    path = require(context.layout.evaluation / "metrics.json", f"evaluate --dataset {context.layout.dataset}")
    metrics: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return metrics


ENCODER_ROLES = ("backbone", "image_encoder", "text_encoder")


def write_receipt(folder: Path, job: str, facts: dict[str, Any]) -> None:
    """Keep what a job did, under its name and the second it ended."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    atomic.write_json(folder / f"{stamp}-{job}.json", facts | {"job": job, "finished": stamp})
