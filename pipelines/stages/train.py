"""Stage ``train``: I-LLMRec, with its curves in MLflow."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl

from illmrec import atomic
from illmrec.config import TrainConfig
from pipelines.context import Context, dataset_options, open_context
from pipelines.layout import Layout, require
from pipelines.lineage import describe_lineage
from pipelines.lock import hold_lock
from pipelines.termination import notice_sigterm

if TYPE_CHECKING:
    from illmrec.data.histories import Sequences
    from illmrec.models.recommender import Recommender
    from illmrec.training.loop import Journal, LoopSettings, Progress, Trainer
    from illmrec.training.peers import Group, Peers
    from pipelines.tracking import TrackedRun
    from pipelines.warm_start import Start

log = logging.getLogger(__name__)


@click.command()
@dataset_options
def command(dataset: str, as_json: bool) -> None:
    r"""Train the adaptor, the [REC] vector and the projection heads around the frozen language model.

    A killed run continues from its last checkpoint when the command is given again with the same data and parameters,
    and ends with the very numbers of an uninterrupted one (on CPU). SIGTERM ends a run after the step under way, with
    its state saved and exit code 143. Curves, parameters and lineage go to MLflow.

    Several GPUs share every batch when the command is started through a launcher; the result is that of one process.

    \b
    Example:
      illmrec train --dataset amazon
      accelerate launch --num_processes 2 -m illmrec train --dataset amazon
    """
    from illmrec.training.peers import find_rank

    context = open_context(dataset, as_json)
    if find_rank():
        train(context)
        return
    with hold_lock(context.layout.lock("train")):
        atomic.sweep_partial(context.layout.artifacts, context.layout.model.name)
        facts = train(context)
    context.emit(facts)


def train(context: Context, start: Start | None = None) -> dict[str, Any]:
    """Train or continue training, publish the model folder, close the MLflow run.

    Of several processes only the first one writes, logs and returns facts.

    Args:
        context: the data set.
        start: tensors to begin with (`illmrec retrain` may give the champion's); None for random ones.
    """
    from illmrec.training.peers import Alone, Group, is_group

    layout, config = context.layout, context.section(TrainConfig)
    settings = config.model_dump(mode="json")
    peers = Group(lockstep=config.shard_backbone) if is_group() else Alone()
    checkpoints = layout.checkpoints / identify_run(layout, settings, start)
    if peers.rank == 0:
        atomic.sweep_partial(checkpoints)
    journal = _Journal()
    with notice_sigterm() as asked:
        trainer = make_trainer(
            layout, config, checkpoints=checkpoints, journal=journal, peers=peers, should_stop=asked.is_set
        )
        if start is not None:  # a checkpoint, if there is one, takes its place
            journal.start = start.apply(trainer.recommender)
        if isinstance(peers, Group):
            return _train_in_group(context, trainer, peers, settings, journal)
        return _train_and_publish(context, trainer, settings, journal)


def make_trainer(
    layout: Layout,
    config: TrainConfig,
    *,
    checkpoints: Path,
    journal: Journal | None = None,
    peers: Peers | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trainer:
    """Put a trainer together from a data set's artifacts; it validates on the validation targets.

    Args:
        layout: where the artifacts lie.
        config: the section.
        checkpoints: folder of this run's checkpoints.
        journal: where curves go; None for nowhere.
        peers: processes that train together; None for one.
        should_stop: see :class:`illmrec.training.loop.Trainer`.
    """
    from illmrec.training.loop import Trainer
    from illmrec.training.peers import is_group, pick_own_device
    from illmrec.training.seeding import seed_everything
    from pipelines.assembly import build_recommender, load_catalog, load_sequences, pick_device

    catalog, sequences = load_catalog(layout), load_sequences(layout)
    device = pick_own_device() if is_group() and pick_device() == "cuda" else pick_device()
    settings = config.model_dump(mode="json")
    recommender = build_recommender(layout, catalog, settings, lambda: seed_everything(config.seed), device)
    recommender.prepare_training(centre_features=config.centre_features, dropout=config.dropout)
    if config.shard_backbone and peers is not None and peers.size > 1:
        recommender.backbone.shard()
    return Trainer(
        recommender,
        sequences.train,
        make_loop_settings(config),
        validate=lambda model: score_validation(model, sequences, config),
        checkpoints=checkpoints,
        journal=journal or _Journal(),
        peers=peers,
        should_stop=should_stop,
    )


def _train_in_group(
    context: Context, trainer: Trainer, peers: Group, settings: dict[str, Any], journal: _Journal
) -> dict[str, Any]:
    """Train in one of several processes, all of which start from the same checkpoint."""
    try:
        if peers.rank == 0:
            return _train_and_publish(context, trainer, settings, journal, ready=lambda: peers.tell(0.0))
        peers.tell(0.0)  # the first process has looked at the checkpoints, and written one
        trainer.resume()
        trainer.run()
        return {}
    finally:
        peers.leave()


def _train_and_publish(
    context: Context,
    trainer: Trainer,
    settings: dict[str, Any],
    journal: _Journal,
    ready: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    from pipelines.tracking import EXPERIMENT, MODEL_TAG, Tracker

    layout = context.layout
    resumed = trainer.resume()
    for warning in trainer.warnings:
        log.warning("checkpoint skipped: %s", warning)
    run = Tracker(layout.root).start_run(EXPERIMENT, layout.dataset, run_id=trainer.progress.about.get("run_id"))
    journal.run = run
    if trainer.progress.about.get("run_id") != run.run_id:
        trainer.progress.about = {"run_id": run.run_id}
        run.describe(_flatten(settings), describe_lineage(layout.root, context.params, layout.dataset))
    trainer.save()
    ready()
    tensors = trainer.run()
    publish_model(layout, settings, trainer, tensors, journal.start)
    _attach_curves(run, layout)
    # The model folder itself names no run, so that equal inputs give equal bytes; the run names the model.
    run.describe({}, {MODEL_TAG: atomic.digest_file(layout.model / "tensors.safetensors")})
    run.finish()
    # Only now is the run over; a kill before this line resumes and publishes the same bytes again.
    shutil.rmtree(layout.checkpoints, ignore_errors=True)
    return _summarise(trainer, run.run_id, resumed)


class _Journal:
    """Hands curve values to the tracked run once it is open, without one nowhere; knows where training began."""

    def __init__(self) -> None:
        self.run: Any = None
        self.start: dict[str, Any] | None = None

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.run is not None:
            self.run.log(step, values)


def identify_run(layout: Layout, settings: dict[str, Any], start: Start | None = None) -> str:
    """Return a digest of everything that decides a training run: settings, split, features, encoders, the start.

    A checkpoint is continued only by the run it belongs to.
    """
    from pipelines.assembly import MAKERS, list_feature_types

    files = [
        require(layout.split / "sequences.parquet", f"split --dataset {layout.dataset}"),
        require(layout.encoders / "encoders.json", f"encoders --dataset {layout.dataset}"),
        require(layout.prepared / "items.parquet", f"prepare --dataset {layout.dataset}"),
        *(
            require(layout.features(kind) / "values.npy", f"{MAKERS[kind]} --dataset {layout.dataset}")
            for kind in list_feature_types(settings)
        ),
    ]
    if settings["representation"] == "summary":
        files.append(require(layout.summaries / "summaries.parquet", f"summarize --dataset {layout.dataset}"))
    facts: dict[str, Any] = {"settings": settings, "files": [atomic.digest_file(path) for path in files]}
    if start is not None:
        facts["start"] = [start.tensors_sha256, start.left_out]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


SAME_NAMES = (
    *("supervision", "alignment_weight", "alignment_epochs", "image_dropout", "pass_tokens"),
    *("learning_rate", "weight_decay", "warmup_share", "schedule", "batch_size", "epochs"),
    *("validate_every", "patience", "checkpoint_steps", "seed"),
)
"""Settings of the loop that have the same name and meaning in the section."""


def make_loop_settings(config: TrainConfig) -> LoopSettings:
    """Turn the section into loop settings; the preset decides what the paper and the authors' code do differently."""
    from illmrec.training.loop import LoopSettings
    from illmrec.training.objective import RetrievalSettings

    shared = config.model_dump(include=set(SAME_NAMES))
    shared["retrieval"] = RetrievalSettings(
        loss=config.retrieval_loss,
        summed=config.retrieval_scores == "sum",
        negatives=config.negatives,
        sharing=config.negative_sharing,
        calibration=config.gbce_calibration,
    )
    if config.preset == "paper":
        return LoopSettings(window=config.window, negative_rule="unseen_shared", retrieval_weight=1.0, **shared)
    share = 1.0 if shared["retrieval"].summed else 1.0 / len(config.features)
    return LoopSettings(window="short", negative_rule="any_per_type", retrieval_weight=share, **shared)


def score_validation(model: Recommender, sequences: Sequences, config: TrainConfig) -> float:
    """Return NDCG@10 of the validation targets, full catalog, over a fixed sample of users."""
    import numpy as np

    from illmrec.data.histories import pack_rows
    from illmrec.evaluation.metrics import ndcg
    from illmrec.evaluation.protocol import DotScorer, rank_users
    from illmrec.seeds import generator

    users = np.arange(len(sequences))
    if len(users) > config.validation_users:
        users = np.sort(generator(config.seed, "validation").choice(users, config.validation_users, replace=False))
    histories = [sequences.train[int(user)] for user in users]
    projected = model.project_users(model.represent_users(histories, config.batch_size))
    scorer = DotScorer(projected, model.represent_items())
    return float(ndcg(rank_users(scorer, pack_rows(histories), sequences.valid[users])["full"], 10).mean())


def publish_model(
    layout: Layout, settings: dict[str, Any], trainer: Trainer, tensors: Any, start: dict[str, Any] | None = None
) -> None:
    """Write the model folder and the training curve; ``start`` says what training began with, if not with nothing."""
    from illmrec.training.checkpoint import write_tensors
    from pipelines.assembly import digest_features, read_encoder

    state = {
        "settings": settings,
        "item_digest": trainer.recommender.features["image"].header.item_digest,
        "backbone": read_encoder(layout, "backbone"),
        "image_encoder": read_encoder(layout, "image"),
        "text_encoder": read_encoder(layout, "text"),
        "features": digest_features(layout, settings),
        "best_step": trainer.progress.best_step,
        "validation_ndcg@10": trainer.progress.best_score,
        **({} if start is None else {"start": start}),
    }
    _write_curve(layout.curves / "train.csv", trainer.progress)
    _write_validation(layout.curves / "validation.csv", trainer.progress)
    write_tensors(layout.model, tensors, state)


def _write_curve(path: Path, progress: Progress) -> None:
    table = pl.from_dicts(progress.curve, infer_schema_length=None).with_columns(pl.col("step").cast(pl.Int64))
    merged = table.group_by("step").agg(pl.all().drop_nulls().first()).sort("step")
    with atomic.write_file(path) as file:
        merged.write_csv(file)


def _write_validation(path: Path, progress: Progress) -> None:
    """Write the validation apart from the losses: a tool that plots files knows one column of each."""
    rows = [(int(row["step"]), row["validation"]) for row in progress.curve if row.get("validation") is not None]
    table = pl.DataFrame(rows, schema={"step": pl.Int64, "ndcg": pl.Float64}, orient="row")
    with atomic.write_file(path) as file:
        table.unique("step", keep="first").sort("step").write_csv(file)


def _attach_curves(run: TrackedRun, layout: Layout) -> None:
    from pipelines.curves import draw_curves

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
