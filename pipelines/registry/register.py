"""Job ``register``: the exported head becomes a version in the model registry."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx

from illmrec.scoring.head import Head
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lock import locked
from pipelines.registry.package import Package, gather_package, identify_model
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHALLENGER, EXPERIMENT, TrackedRun, infer_head_signature, name_metric
from pipelines.registry.version import Version

SHOWN_ON_THE_RUN = (".md",)
"""Files of a version that its run shows too."""


@dataclass(frozen=True)
class Registered:
    """What was registered.

    Args:
        model: the registered model.
        version: number of the version.
        alias: what points to it now.
        mlflow_run: the run that made the model.
    """

    model: str
    version: str
    alias: str
    mlflow_run: str


@locked("registry")
def register(context: Context, *, once: bool = False) -> Registered:
    """Create the version, write a receipt, return what was registered.

    Args:
        context: the data set.
        once: create none where the challenger is this very model, which a run that was killed later had registered.

    Raises:
        MissingArtifactError: when a stage has not run.
        ModelError: when a gate refused the data, or artifacts do not belong together.
    """
    registry, layout = Registry(context), context.layout
    head = Head(layout.head / "head.onnx", context.shelf.head["onnx_sha256"])
    waiting = registry.find_challenger() if once else None
    if waiting is not None and identify_model(context.shelf).items() <= waiting.tags.items():
        return Registered(waiting.name, waiting.number, CHALLENGER, waiting.run_id)
    with tempfile.TemporaryDirectory(prefix="illmrec-register-") as workspace:
        package = gather_package(context, registry.name, Path(workspace))
        run = _open_run(registry, package)
        version = _create_version(registry, run, head, package, layout)
        _show_on_run(run, version, package, layout)
    registry.tracker.describe_model(registry.name, describe_model(layout.dataset))
    registry.move_alias(version, CHALLENGER, action="register", why="registered")
    run.finish()
    registered = Registered(version.name, version.number, CHALLENGER, run.run_id)
    registry.write_receipt("register", asdict(registered) | {"tags": package.tags})
    return registered


def _open_run(registry: Registry, package: Package) -> TrackedRun:
    """Return the run that made the model, or a new one where this store has not seen it, with its figures."""
    made_by = registry.tracker.find_run(EXPERIMENT, package.tags["tensors_sha256"])
    run = registry.tracker.start_run(EXPERIMENT, registry.layout.dataset, run_id=made_by)
    run.log(0, {name_metric(key): value for key, value in package.shown.items()})
    return run


def _create_version(registry: Registry, run: TrackedRun, head: Head, package: Package, layout: Layout) -> Version:
    example, signature = infer_head_signature(head.llm_width, head.widths)
    return registry.tracker.register(
        run.run_id,
        registry.name,
        onnx.load(layout.head / "head.onnx", load_external_data=False),
        signature=signature,
        example=example,
        extra_files=package.files,
        tags=package.tags,
        description=package.description,
    )


def _show_on_run(run: TrackedRun, version: Version, package: Package, layout: Layout) -> None:
    """Attach cards and tables to the run, and say on its page what came of it."""
    for path in package.files:
        if path.suffix in SHOWN_ON_THE_RUN:
            run.attach(path, "cards")
    for path in sorted(layout.evaluation.glob("*.csv")):
        run.attach(path, "evaluation")
    run.note(f"Version {version.number} of {version.name}.\n\n{package.description}")


def describe_model(dataset: str) -> str:
    """Return what the registered model's page says, whatever the version."""
    return (
        f"Recommendations for the data set `{dataset}`. `champion` is what `illmrec recommend` uses every night; "
        f"`challenger` waits for `illmrec promote --dataset {dataset}`. Back to the champion before: "
        f"`illmrec rollback --dataset {dataset}`. Do not move aliases by hand: moves made by the commands are written "
        "to an audit log."
    )
