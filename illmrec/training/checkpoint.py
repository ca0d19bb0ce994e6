"""Checkpoints that are whole or absent, and damage that is noticed.

A checkpoint is a folder ``step-00000050`` with ``tensors.safetensors`` and ``state.json``; the latter, written with the
tensors' sha256, comes last. Saving publishes the folder by rename and then removes all but the newest two, so a kill at
any point leaves a good one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from illmrec import atomic
from illmrec.errors import ModelError

_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A state of training.

    Args:
        tensors: parameters and optimizer moments by name.
        state: everything else, as JSON: step, best score, history of the curve, identity of the run.
    """

    tensors: Mapping[str, Tensor]
    state: Mapping[str, Any]


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Publish tensors and their description as one folder, with a digest of both."""
    with atomic.write_folder(folder) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial / _TENSORS)
        body = {"state": dict(state), "tensors_sha256": atomic.digest_file(partial / _TENSORS)}
        text = json.dumps(body, sort_keys=True, allow_nan=False)
        atomic.write_json(partial / _STATE, body | {"state_sha256": _digest_text(text)})


def read_tensors(folder: Path) -> Checkpoint:
    """Read a folder written by :func:`write_tensors`.

    Raises:
        ModelError: when a file is missing or a single bit of either file has changed.
    """
    hint = "Run `illmrec train` again; an older good checkpoint is used where there is one."
    try:
        written = (folder / _STATE).read_bytes()
        body = json.loads(written)
        # Some changes, of white space or of a number's last digit, leave the parsed values as they were.
        intact = written == atomic.render_json(body)
        claimed = body.pop("state_sha256")
        intact = intact and claimed == _digest_text(json.dumps(body, sort_keys=True, allow_nan=False))
        intact = intact and body["tensors_sha256"] == atomic.digest_file(folder / _TENSORS)
        if not intact:
            raise ModelError("the file's digest does not match: it is damaged or was changed.", path=folder, hint=hint)
        return Checkpoint(load_file(folder / _TENSORS), body["state"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"cannot be read: {error}", path=folder, hint=hint) from None


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Publish a checkpoint below ``folder`` and remove all but the newest two.

    Raises:
        ModelError: when it cannot be written, on a full disk for instance; older checkpoints are as they were.
    """
    place = folder / f"step-{step:08d}"
    try:
        write_tensors(place, checkpoint.tensors, checkpoint.state)
    except (OSError, SafetensorError) as error:
        hint = "Make free space there and give the same command again: it goes on from the checkpoint before."
        raise ModelError(f"cannot be written: {error}.", path=place, hint=hint) from None
    for outdated in sorted(folder.glob("step-*"))[:-_KEPT]:
        shutil.rmtree(outdated, ignore_errors=True)


def load_latest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest readable checkpoint below ``folder``, and what was wrong with newer ones."""
    damaged: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            return read_tensors(path), damaged
        except ModelError as error:
            damaged.append(str(error))
    return None, damaged


def pack_optimizer(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """Return the optimizer's moments as ``optimizer/<parameter>/<moment>``."""
    states = optimizer.state_dict()["state"]
    return {
        f"optimizer/{names[number]}/{moment}": torch.as_tensor(value)
        for number, moments in states.items()
        for moment, value in moments.items()
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    """Put the moments of :func:`pack_optimizer` back."""
    restored = optimizer.state_dict()
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            parameter, moment = name.removeprefix("optimizer/").rsplit("/", 1)
            states.setdefault(names.index(parameter), {})[moment] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": restored["param_groups"]})


def _digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
