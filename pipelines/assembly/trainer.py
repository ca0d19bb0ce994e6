"""From parameters and artifacts to a trainer, and from a trained model to its folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from illmrec import atomic
from illmrec.data.histories import Sequences, pack_rows
from illmrec.evaluation.metrics import ndcg
from illmrec.evaluation.protocol import DotScorer, rank_users
from illmrec.models.centring import unfold_layers
from illmrec.models.recommender import Recommender
from illmrec.seeds import generator
from illmrec.training.checkpoint import write_tensors
from illmrec.training.loop import Journal, LoopSettings, Progress, Trainer
from illmrec.training.objective import RetrievalSettings
from illmrec.training.peers import Peers, is_group, pick_own_device
from illmrec.training.seeding import seed_everything
from pipelines.assembly.loading import pick_device
from pipelines.assembly.recommender import build_recommender, digest_features, list_feature_types
from pipelines.parameters.training import TrainConfig
from pipelines.project.shelf import Shelf


def make_trainer(
    shelf: Shelf,
    config: TrainConfig,
    *,
    checkpoints: Path,
    journal: Journal | None = None,
    peers: Peers | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trainer:
    """Put a trainer together from a data set's artifacts; it validates on the validation targets.

    Args:
        shelf: where the artifacts lie.
        config: the section.
        checkpoints: folder of this run's checkpoints.
        journal: where curves go; None for nowhere.
        peers: processes that train together; None for one.
        should_stop: see :class:`illmrec.training.loop.Trainer`.
    """
    catalog, sequences = shelf.catalog, shelf.sequences
    device = pick_own_device() if is_group() and pick_device() == "cuda" else pick_device()
    recommender = build_recommender(shelf, catalog, config, lambda: seed_everything(config.seed), device)
    recommender.prepare_training(centre_features=config.centre_features, dropout=config.dropout)
    if config.compiled:
        # torch's own place for it is a folder of the machine's, under a name that anybody can foretell.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(shelf.layout.compiled))
        recommender.backbone.compile()
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


class _Journal:
    """Hands curve values to the tracked run once it is open, without one nowhere; knows where training began."""

    def __init__(self) -> None:
        self.run: Any = None
        self.start: dict[str, Any] | None = None

    def log(self, step: int, values: dict[str, float]) -> None:
        if self.run is not None:
            self.run.log(step, values)


def identify_run(shelf: Shelf, config: TrainConfig, start: Start | None = None) -> str:
    """Return a digest of everything that decides a training run: settings, split, features, encoders, the start.

    A checkpoint is continued only by the run it belongs to.
    """
    files = [
        shelf.layout.split / "sequences.parquet",
        shelf.layout.encoders / "encoders.json",
        shelf.layout.prepared / "items.parquet",
        *(shelf.layout.features(kind) / "values.npy" for kind in list_feature_types(config)),
    ]
    if config.representation == "summary":
        files.append(shelf.layout.summaries / "summaries.parquet")
    facts: dict[str, Any] = {
        "settings": config.model_dump(mode="json"),
        "files": [shelf.digest(path) for path in files],
    }
    if start is not None:
        facts["start"] = [start.tensors_sha256, start.left_out]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def make_loop_settings(config: TrainConfig) -> LoopSettings:
    """Turn the section into loop settings; the preset decides what the paper and the authors' code do differently."""
    retrieval = config.make(RetrievalSettings)
    if config.preset == "paper":
        return config.make(LoopSettings, negative_rule="unseen_shared", retrieval_weight=1.0, retrieval=retrieval)
    share = 1.0 if retrieval.summed else 1.0 / len(config.features)
    rule = "any_per_type"
    return config.make(LoopSettings, window="short", negative_rule=rule, retrieval_weight=share, retrieval=retrieval)


def score_validation(model: Recommender, sequences: Sequences, config: TrainConfig) -> float:
    """Return NDCG@10 of the validation targets, full catalog, over a fixed sample of users."""
    users = np.arange(len(sequences))
    if len(users) > config.validation_users:
        users = np.sort(generator(config.seed, "validation").choice(users, config.validation_users, replace=False))
    histories = [sequences.train[int(user)] for user in users]
    projected = model.project_users(model.represent_users(histories, config.batch_size))
    scorer = DotScorer(projected, model.represent_items())
    return float(ndcg(rank_users(scorer, pack_rows(histories), sequences.valid[users])["full"], 10).mean())


def publish_model(
    shelf: Shelf, config: TrainConfig, trainer: Trainer, tensors: Any, start: dict[str, Any] | None = None
) -> None:
    """Write the model folder and the training curve; ``start`` says what training began with, if not with nothing."""
    state = {
        "settings": config.model_dump(mode="json"),
        "item_digest": trainer.recommender.features["image"].header.item_digest,
        "backbone": shelf.read_encoder("backbone"),
        "image_encoder": shelf.read_encoder("image"),
        "text_encoder": shelf.read_encoder("text"),
        "features": digest_features(shelf, config),
        "best_step": trainer.progress.best_step,
        "validation_ndcg@10": trainer.progress.best_score,
        **({} if start is None else {"start": start}),
    }
    _write_curve(shelf.layout.curves / "train.csv", trainer.progress)
    _write_validation(shelf.layout.curves / "validation.csv", trainer.progress)
    write_tensors(shelf.layout.model, tensors, state)


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


@dataclass(frozen=True)
class Start:
    """Where training begins.

    Args:
        version: registered version the tensors are of.
        tensors_sha256: digest of its file.
        tensors: by name.
        left_out: beginnings of names that are not taken over.
    """

    version: str
    tensors_sha256: str
    tensors: Mapping[str, Tensor]
    left_out: tuple[str, ...]

    def apply(self, recommender: Recommender) -> dict[str, Any]:
        """Put the tensors whose name and shape fit into a model; return what was taken and what was not."""
        taken, kept = [], []
        with torch.no_grad():
            for name, value in recommender.named_parameters().items():
                given = self.tensors.get(name)
                if given is None or given.shape != value.shape or name.startswith(self.left_out or ("\0",)):
                    kept.append(name)
                    continue
                value.copy_(given.to(value.dtype))
                taken.append(name)
        unfold_layers(recommender.parts, taken)
        about = {"version": self.version, "tensors_sha256": self.tensors_sha256}
        return {**about, "taken": len(taken), "new": sorted(kept)}
