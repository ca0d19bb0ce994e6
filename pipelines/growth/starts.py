"""Training from nothing, from the champion's tensors, or both ways, of which the better one is kept."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from illmrec import atomic
from pipelines.graph import STAGES
from pipelines.growth.step_log import Result
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.registry.warm_start import find_start
from pipelines.stages import stage
from pipelines.stages.train import train

Start = Literal["scratch", "warm"]
STARTS: Mapping[str, tuple[Start, ...]] = {
    "scratch": ("scratch",),
    "warm": ("warm",),
    "compare": ("scratch", "warm"),
}
"""Value of ``retrain.start`` -> how training begins, once for each."""

VALIDATION = "validation_ndcg@10"

TRAIN = next(stage for stage in STAGES if stage.name == "train")
MODEL_FOLDERS = tuple(dict.fromkeys(output.partition("/")[0] for output in TRAIN.outputs))
"""Folders below ``artifacts/<data set>`` that a training fills."""


def place_variant(layout: Layout, start: Start) -> Path:
    """Return where the model of one start is put aside."""
    return layout.retraining / start


@stage("train")
def train_variant(context: Context, start: Start) -> Result:
    """Train from one start and put the model aside, before anybody else may train."""
    layout = context.layout
    with contextlib.redirect_stdout(sys.stderr):
        summary = train(context, find_start(context) if start == "warm" else None)
    with atomic.write_folder(place_variant(layout, start)) as folder:
        for name in MODEL_FOLDERS:
            shutil.copytree(layout.artifacts / name, folder / name)
    return {f"{start}_{VALIDATION}": summary[VALIDATION], f"{start}_steps": summary["steps"]}


def choose(layout: Layout, starts: tuple[Start, ...]) -> Result:
    """Put the model that ranks the validation targets best where the next stages look for it.

    The test targets have no say: what is chosen by them cannot be judged by them.
    """
    scores = {start: _read_validation(place_variant(layout, start)) for start in starts}
    best = max(starts, key=lambda start: scores[start])
    for name in MODEL_FOLDERS:
        with atomic.write_folder(layout.artifacts / name) as folder:
            shutil.copytree(place_variant(layout, best) / name, folder, dirs_exist_ok=True)
    return {"start": best, **{f"{start}_{VALIDATION}": score for start, score in scores.items()}}


def _read_validation(variant: Path) -> float:
    state = json.loads((variant / "model" / "state.json").read_text(encoding="utf-8"))["state"]
    return float(state[VALIDATION])
