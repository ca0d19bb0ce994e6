"""Job ``register``: the exported head becomes a version in the model registry."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import onnx

from illmrec.errors import ModelError
from illmrec.scoring.head import Head
from pipelines.project.artifacts import read_object
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.registry.package import HEAD_KEYS, _read_metrics, gather_package, pick_metrics
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHALLENGER, EXPERIMENT, infer_head_signature, name_metric


@locked("registry")
def register(context: Context) -> dict[str, Any]:
    """Create the version, write a receipt, return what was registered.

    Raises:
        MissingArtifactError: when a stage has not run.
        ModelError: when a gate refused the data, or artifacts do not belong together.
    """
    layout, registry = context.layout, Registry(context)
    about = read_object(layout.head / "head.json", f"export --dataset {layout.dataset}", HEAD_KEYS, ModelError)
    head = Head(layout.head / "head.onnx", about["onnx_sha256"])
    example, signature = infer_head_signature(head.llm_width, head.widths)
    with tempfile.TemporaryDirectory(prefix="illmrec-register-") as workspace:
        package = gather_package(context, registry.name, about, Path(workspace))
        tracker = registry.tracker
        made_by = tracker.find_run(EXPERIMENT, package.tags["tensors_sha256"])
        run = tracker.start_run(EXPERIMENT, layout.dataset, run_id=made_by)
        run.log(0, {name_metric(key): value for key, value in pick_metrics(_read_metrics(context)).items()})
        version = tracker.register(
            run.run_id,
            registry.name,
            onnx.load(layout.head / "head.onnx", load_external_data=False),
            signature=signature,
            example=example,
            extra_files=package.files,
            tags=package.tags,
            description=package.description,
        )
        for path in package.files:
            if path.suffix in SHOWN_ON_THE_RUN:
                run.attach(path, "cards")
        for path in sorted(layout.evaluation.glob("*.csv")):
            run.attach(path, "evaluation")
        run.note(f"Version {version.number} of {registry.name}.\n\n{package.description}")
    tracker.describe_model(registry.name, describe_model(layout.dataset))
    registry.move_alias(version, CHALLENGER, action="register", why="registered")
    run.finish()
    receipt = {"model": version.name, "version": version.number, "alias": CHALLENGER, "mlflow_run": run.run_id}
    registry.write_receipt("register", receipt | {"tags": package.tags})
    return receipt


SHOWN_ON_THE_RUN = (".md",)


def describe_model(dataset: str) -> str:
    """Return what the registered model's page says, whatever the version."""
    return (
        f"Recommendations for the data set `{dataset}`. `champion` is what `illmrec recommend` uses every night; "
        f"`challenger` waits for `illmrec promote --dataset {dataset}`. Back to the champion before: "
        f"`illmrec rollback --dataset {dataset}`. Do not move aliases by hand: moves made by the commands are written "
        "to an audit log."
    )
