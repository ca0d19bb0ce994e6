"""How each kind of rival is trained with given parameters; what comes back can score users for the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from illmrec.evaluation.protocol import DotScorer, PopularityScorer, Scorer
from illmrec.features.matrix import normalise
from illmrec.models.bert4rec import Bert4Rec
from illmrec.models.gru4rec import Gru4Rec
from illmrec.models.item_knn import ItemKnn, measure_similarity
from illmrec.models.last_item import LastItem, Repeat
from illmrec.models.sasrec import SasRec
from illmrec.models.vbpr import Vbpr
from illmrec.training.cf import Ask, CfSettings, ask_hidden, ask_next, train_sequences
from illmrec.training.cf_loop import Stopping
from illmrec.training.cf_losses import LossSettings
from illmrec.training.cf_pairs import PairSettings, train_pairs
from pipelines.assembly.loading import pick_device
from pipelines.parameters.studies import RivalsConfig
from pipelines.studies.rivals.data import RivalData, Target

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A trained rival.

    Args:
        validation: full-catalog NDCG@10 on the validation targets.
        make_scorer: scores for the test targets.
        facts: epochs and the best of them; empty where nothing is trained by steps.
    """

    validation: float
    make_scorer: Callable[[], Scorer]
    facts: Mapping[str, int]


@dataclass(frozen=True)
class Task:
    """One training.

    Args:
        data: the split.
        parameters: of the rival.
        config: bounds of the training.
        seed: of the training.
    """

    data: RivalData
    parameters: Parameters
    config: RivalsConfig
    seed: int

    def shape(self, *others: str) -> dict[str, Any]:
        """Return the parameters that a sequence model is built with: all but the learning rate and ``others``."""
        left_out = ("learning_rate", *others)
        own = {name: value for name, value in self.parameters.items() if name not in left_out}
        return own | {"n_items": self.data.n_items, "max_length": self.config.max_length}


Fit = Callable[[Task], Fitted]


def fit_popularity(task: Task) -> Fitted:
    """Count training interactions."""
    scorer = PopularityScorer(task.data.train, task.data.n_items)
    return _fit_rule(task.data, lambda _: scorer)


def fit_repeat(task: Task) -> Fitted:
    """Look at the history alone."""
    data = task.data
    return _fit_rule(data, lambda target: Repeat(data.n_items, data.cases(target).histories))


def fit_last_item(task: Task) -> Fitted:
    """Count what follows what."""
    data = task.data
    return _fit_rule(data, lambda target: LastItem(data.train, data.n_items, data.cases(target).histories))


def fit_item_knn(task: Task) -> Fitted:
    """Measure similarities of items."""
    data = task.data
    similarity = measure_similarity(data.train, data.n_items, **task.parameters)
    return _fit_rule(data, lambda target: ItemKnn(similarity, data.cases(target).histories))


def _fit_rule(data: RivalData, make: Callable[[Target], Scorer]) -> Fitted:
    """Return a rival that has nothing to train by steps; ``make`` takes ``valid`` or ``test``."""
    return Fitted(data.score_validation(make("valid")), lambda: make("test"), {})


def fit_bpr(task: Task) -> Fitted:
    """Train matrix factorisation."""
    return _fit_pairs(task, None, "bpr")


def fit_vbpr(task: Task) -> Fitted:
    """Train matrix factorisation that sees the picture features, less their mean and of coordinates of the order of 1.

    The mean changes no user's order of items, but the decay would hold all items' vectors back for it.
    """
    pictures = task.data.pictures
    values = np.asarray(pictures.values, dtype=np.float32) - pictures.mean()
    return _fit_pairs(task, normalise(values, "global_rms"), "vbpr")


def _fit_pairs(task: Task, features: npt.NDArray[np.float32] | None, label: str) -> Fitted:
    data, parameters, config = task.data, task.parameters, task.config
    shape = {name: parameters[name] for name in ("width", "visual_width") if name in parameters}
    seen = None if features is None else torch.from_numpy(features)

    def make_scorer(model: Vbpr, target: Target) -> Scorer:
        return DotScorer(model.represent_users()[data.cases(target).users], model.represent_items())

    settings = PairSettings(
        learning_rate=parameters["learning_rate"],
        decay=parameters["decay"],
        batch_size=config.pair_batch_size,
        stopping=Stopping(config.epochs, config.patience, config.validate_every),
        seed=task.seed,
    )
    result = train_pairs(
        lambda: Vbpr(len(data.sequences), data.n_items, features=seen, **shape).to(pick_device()),
        data.train,
        settings,
        lambda model: data.score_validation(make_scorer(model, "valid")),
        label,
    )
    facts = {"epochs": len(result.curve), "best_epoch": result.best_epoch}
    return Fitted(result.best_score, lambda: make_scorer(result.model, "test"), facts)


def fit_sasrec(task: Task) -> Fitted:
    """Train SASRec with one negative per position (Kang and McAuley)."""
    return _fit_sasrec(task, LossSettings())


def fit_sasrec_catalog(task: Task) -> Fitted:
    """Train SASRec with cross entropy over the catalog."""
    return _fit_sasrec(task, LossSettings("cross_entropy"))


def fit_sasrec_calibrated(task: Task) -> Fitted:
    """Train SASRec with gBCE, negatives shared by all positions of a step."""
    loss = LossSettings(
        "gbce",
        negatives=task.parameters["negatives"],
        negative_sharing="step",
        gbce_calibration=task.parameters["calibration"],
    )
    return _fit_sasrec(task, loss, "negatives", "calibration")


def _fit_sasrec(task: Task, loss: LossSettings, *of_loss: str) -> Fitted:
    """Train SASRec; ``of_loss`` are the parameters that the loss has and the model does not."""
    return _fit_sequences(task, lambda: SasRec(**task.shape(*of_loss)), loss, ask_next)


def fit_gru4rec(task: Task) -> Fitted:
    """Train GRU4Rec with cross entropy over the catalog."""
    return _fit_sequences(task, lambda: Gru4Rec(**task.shape()), LossSettings("cross_entropy"), ask_next)


def fit_bert4rec(task: Task) -> Fitted:
    """Train BERT4Rec on hidden items with cross entropy over the catalog."""
    ask = ask_hidden(task.parameters["hidden_share"], task.parameters["last_share"])
    shape = task.shape("hidden_share", "last_share")
    return _fit_sequences(task, lambda: Bert4Rec(**shape), LossSettings("cross_entropy"), ask)


def _fit_sequences(
    task: Task, build: Callable[[], SasRec | Gru4Rec | Bert4Rec], loss: LossSettings, ask: Callable[[Any], Ask]
) -> Fitted:
    data, config = task.data, task.config

    def make_scorer(model: SasRec | Gru4Rec | Bert4Rec, target: Target) -> Scorer:
        return DotScorer(model.represent_users(data.cases(target).histories), model.represent_items())

    settings = CfSettings(
        learning_rate=task.parameters["learning_rate"],
        batch_size=config.batch_size,
        epochs=config.epochs,
        patience=config.patience,
        validate_every=config.validate_every,
        seed=task.seed,
        loss=loss,
    )
    result = train_sequences(
        lambda: build().to(pick_device()),
        data.train,
        settings,
        lambda model: data.score_validation(make_scorer(model, "valid")),
        ask,
        "training",
    )
    facts = {"epochs": len(result.curve), "best_epoch": result.best_epoch}
    return Fitted(result.best_score, lambda: make_scorer(result.model, "test"), facts)
