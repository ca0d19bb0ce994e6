"""Stage ``train``: I-LLMRec, with its curves in MLflow."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.training.loop import Trainer
from illmrec.training.peers import Alone, Group, find_rank, is_group
from pipelines.assembly.trainer import Start, _Journal, identify_run, make_trainer, publish_model
from pipelines.parameters.training import TrainConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lineage import describe_lineage
from pipelines.project.termination import notice_sigterm
from pipelines.registry.tracking import EXPERIMENT, MODEL_TAG, TrackedRun, Tracker
from pipelines.report.curves import draw_curves
from pipelines.stages import Facts, stage

log = logging.getLogger(__name__)


def run(context: Context) -> Facts:
    """Train on the data set, alone or in one of several processes, of which only the first holds the lock."""
    return train(context) if find_rank() else _train_first(context)


@stage("train")
def _train_first(context: Context) -> Facts:
    return train(context)


def train(context: Context, start: Start | None = None) -> dict[str, Any]:
    """Train or continue training, publish the model folder, close the MLflow run.

    Of several processes only the first one writes, logs and returns facts.

    Args:
        context: the data set.
        start: tensors to begin with (`illmrec retrain` may give the champion's); None for random ones.
    """
    layout, config = context.layout, context.section(TrainConfig)
    peers = Group(lockstep=config.shard_backbone) if is_group() else Alone()
    checkpoints = layout.checkpoints / identify_run(context.shelf, config, start)
    if peers.rank == 0:
        atomic.sweep_partial(checkpoints)
    journal = _Journal()
    with notice_sigterm() as asked:
        trainer = make_trainer(
            context.shelf, config, checkpoints=checkpoints, journal=journal, peers=peers, should_stop=asked.is_set
        )
        if start is not None:  # a checkpoint, if there is one, takes its place
            journal.start = start.apply(trainer.recommender)
        if isinstance(peers, Group):
            return _train_in_group(context, trainer, peers, config, journal)
        return _train_and_publish(context, trainer, config, journal)


def _train_in_group(
    context: Context, trainer: Trainer, peers: Group, config: TrainConfig, journal: _Journal
) -> dict[str, Any]:
    """Train in one of several processes, all of which start from the same checkpoint."""
    try:
        if peers.rank == 0:
            return _train_and_publish(context, trainer, config, journal, ready=lambda: peers.tell(0.0))
        peers.tell(0.0)  # the first process has looked at the checkpoints, and written one
        trainer.resume()
        trainer.run()
        return {}
    finally:
        peers.leave()


def _train_and_publish(
    context: Context,
    trainer: Trainer,
    config: TrainConfig,
    journal: _Journal,
    ready: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    layout = context.layout
    resumed = trainer.resume()
    for warning in trainer.warnings:
        log.warning("checkpoint skipped: %s", warning)
    run = Tracker(layout.root).start_run(EXPERIMENT, layout.dataset, run_id=trainer.progress.about.get("run_id"))
    journal.run = run
    if trainer.progress.about.get("run_id") != run.run_id:
        trainer.progress.about = {"run_id": run.run_id}
        run.describe(
            _flatten(config.model_dump(mode="json")), describe_lineage(layout.root, context.params, layout.dataset)
        )
    trainer.save()
    ready()
    tensors = trainer.run()
    publish_model(context.shelf, config, trainer, tensors, journal.start)
    _attach_curves(run, layout)
    # The model folder itself names no run, so that equal inputs give equal bytes; the run names the model.
    run.describe({}, {MODEL_TAG: atomic.digest_file(layout.model / "tensors.safetensors")})
    run.finish()
    # Only now is the run over; a kill before this line resumes and publishes the same bytes again.
    shutil.rmtree(layout.checkpoints, ignore_errors=True)
    return _summarise(trainer, run.run_id, resumed)


def _attach_curves(run: TrackedRun, layout: Layout) -> None:
    source = layout.curves / "train.csv"
    run.attach(source, "curves")
    with tempfile.TemporaryDirectory(prefix="illmrec-curves-") as folder:
        picture = Path(folder) / "train.svg"
        picture.write_bytes(draw_curves(source, f"I-LLMRec on {layout.dataset}"))
        run.attach(picture, "curves")


def _summarise(trainer: Trainer, run_id: str, resumed: bool) -> dict[str, Any]:
    return {
        "steps": trainer.progress.step,
        "best_step": trainer.progress.best_step,
        "validation_ndcg@10": trainer.progress.best_score,
        "trained_parameters": sum(value.numel() for value in trainer.recommender.named_parameters().values()),
        "resumed": resumed,
        "mlflow_run": run_id,
    }


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    return {f"train.{key}": value for key, value in values.items()}
