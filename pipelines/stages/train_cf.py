"""Stage ``train-cf``: SASRec on training interactions, and its item embeddings as the CF feature matrix."""

from __future__ import annotations

from typing import Any

from illmrec import atomic
from illmrec.evaluation.metrics import ndcg
from illmrec.evaluation.protocol import DotScorer, rank_users
from illmrec.features.matrix import MatrixHeader, normalise, write_matrix
from illmrec.models.sasrec import SasRec
from illmrec.training.cf import CfSettings, ask_next, mark_trained_items, train_sequences
from illmrec.training.cf_loop import CfResult
from illmrec.training.cf_losses import LossSettings
from illmrec.training.checkpoint import write_tensors
from pipelines.assembly.loading import pick_device
from pipelines.parameters.training import TrainCfConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage


@stage("train_cf")
def run(context: Context) -> Facts:
    """Train SASRec on the data set."""
    return train_cf(context.shelf, context.section(TrainCfConfig))


def train_cf(shelf: Shelf, config: TrainCfConfig) -> dict[str, Any]:
    """Write the model and the CF matrix."""
    layout, catalog, sequences = shelf.layout, shelf.catalog, shelf.sequences
    shape = config.model_dump(include={"width", "blocks", "heads", "max_length", "dropout"})

    def validate(model: SasRec) -> float:
        scorer = DotScorer(model.represent_users(sequences.train), model.represent_items())
        return float(ndcg(rank_users(scorer, sequences.train, sequences.valid)["full"], 10).mean())

    result = train_sequences(
        lambda: SasRec(len(catalog), **shape).to(pick_device()),
        sequences.train,
        make_settings(config),
        validate,
        ask_next,
        "sasrec",
    )
    state = {"shape": shape | {"n_items": len(catalog)}, "item_digest": catalog.digest, "curve": result.curve}
    write_tensors(layout.cf_model, result.model.state_dict(), state | {"best_epoch": result.best_epoch})
    missing = _write_matrix(layout, catalog.digest, sequences.train, result)
    return {
        "epochs": len(result.curve),
        "best_epoch": result.best_epoch,
        "validation_ndcg@10": result.best_score,
        "items_without_training_interaction": missing,
    }


def make_settings(config: TrainCfConfig) -> CfSettings:
    """Turn the section into settings of training."""
    return config.make(CfSettings, loss=config.make(LossSettings))


def _write_matrix(layout: Layout, item_digest: str, train: Any, result: CfResult[SasRec]) -> int:
    vectors = result.model.represent_items().copy()
    present = mark_trained_items(train, len(vectors))
    vectors[~present] = vectors[present].mean(0)
    header = MatrixHeader(
        kind="cf",
        encoder="sasrec",
        revision=f"sha256:{atomic.digest_file(layout.cf_model / 'tensors.safetensors')}",
        width=vectors.shape[1],
        normalisation="global_rms",
        item_digest=item_digest,
        missing=int((~present).sum()),
        missing_policy="mean",
    )
    write_matrix(layout.features("cf"), header, normalise(vectors, "global_rms"), present)
    return header.missing
