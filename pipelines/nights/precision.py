"""Reading users in another number format than the model was trained in, and what that costs in quality."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from illmrec.data.histories import Indices, Ragged, pack_rows
from illmrec.errors import ParameterError
from illmrec.models.recommender import Recommender
from illmrec.scoring.head import Head
from illmrec.scoring.processor import multiplies_bf16, multiplies_int8
from illmrec.scoring.topk import ExactSearch
from illmrec.training.checkpoint import read_tensors
from pipelines.assembly.recommender import build_recommender, read_config
from pipelines.project.shelf import Shelf
from pipelines.registry.version_files import VersionFiles

log = logging.getLogger(__name__)

_TOP = 10


def convert(shelf: Shelf, files: VersionFiles, trained: Recommender, precision: str) -> Recommender:
    """Return the same model with its language model in another number format.

    Args:
        shelf: the catalog.
        files: the model's files.
        trained: the model as it was trained, whose features are taken over.
        precision: fp32, bf16 or int8.

    Raises:
        ParameterError: for int8 on a GPU.
    """
    saved = read_tensors(files.folder)
    if precision == "int8" and trained.backbone.device.type != "cpu":
        hint = "Set recommend.backbone_precision to bf16."
        raise ParameterError("int8 works on a processor only, and this machine has a GPU.", hint=hint)
    warn_if_slow(precision, trained.backbone.device.type)
    read = "fp32" if precision == "int8" else precision
    config = read_config(saved.state).model_copy(update={"precision": read})
    model = build_recommender(shelf, shelf.catalog, config, features=trained.features)
    model.load_state(saved.tensors)
    if precision == "int8":
        quantise_linears(model)
    return model


def warn_if_slow(precision: str, device: str) -> None:
    """Say so when the processor has no instructions for a number format."""
    native = {"bf16": multiplies_bf16, "int8": multiplies_int8}.get(precision)
    if device == "cpu" and native is not None and not native():
        log.warning("this processor has no instructions for %s: expect it to be slower than fp32.", precision)


def quantise_linears(model: Recommender) -> None:
    """Put 8-bit linear layers into the language model, in place: weights once, activations as they come.

    [REC], adaptor and projection heads stay in full precision, and so do the prompt's first keys and values, which are
    computed anew.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao announces a successor that is a package of its own
        torch.ao.quantization.quantize_dynamic(model.backbone.decoder, {nn.Linear}, torch.qint8, inplace=True)


def measure_loss(
    trained: Recommender, other: Recommender, head: Head, items: np.ndarray[Any, Any], rows: Sequence[Indices]
) -> dict[str, float]:
    """Return how far another number format moves scores and lists of some users.

    Args:
        trained: the model as trained.
        other: the same in another format.
        head: the exported head.
        items: ``float32 [n_items, F * d]``.
        rows: histories of the users asked; none of them empty.

    Returns:
        ``precision_overlap@10``: mean share of the ten best unseen items that stay; ``precision_correlation``: mean
        Pearson correlation of a user's scores over the catalog; ``precision_users``: how many were asked.
    """
    if not rows:
        return {}
    sides = [head.project_users(model.represent_users(rows, 1)) for model in (trained, other)]
    seen: Ragged = pack_rows(rows)
    lists = [ExactSearch(items).search(users, seen, _TOP)[0] for users in sides]
    kept = [len(set(a[a >= 0]) & set(b[b >= 0])) / max(1, (a >= 0).sum()) for a, b in zip(*lists, strict=True)]
    scores = [users @ items.T for users in sides]
    similar = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(*scores, strict=True)]
    return {
        f"precision_overlap@{_TOP}": float(np.mean(kept)),
        "precision_correlation": float(np.mean(similar)),
        "precision_users": len(rows),
    }
