"""Trainings, kept: one with given parameters and seed is made once, its ranks stay beside its result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.evaluation.protocol import rank_cases
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.studies import revision
from pipelines.studies.rivals.catalogue import RIVALS
from pipelines.studies.rivals.data import RivalData
from pipelines.studies.rivals.training import Task

RESULT, RANKS = "result.json", "ranks.parquet"
BOUNDS = ("max_length", "batch_size", "pair_batch_size", "epochs", "patience", "validate_every")
"""Keys of section ``rivals`` that a training depends on."""


@dataclass(frozen=True)
class Run:
    """One training.

    Args:
        name: the rival.
        seed: of the training.
        facts: validation NDCG@10, epochs, seconds.
        folder: where its result and its ranks lie.
    """

    name: RivalName
    seed: int
    facts: Mapping[str, Any]
    folder: Path

    def ranks(self) -> npt.NDArray[np.float64]:
        """Return ``float64 [c]``: rank of each test target in the full catalog, in order of users."""
        return pl.read_parquet(self.folder / RANKS)["rank"].to_numpy()


def identify(data: RivalData, name: RivalName, config: RivalsConfig, **more: Any) -> str:
    """Return a digest of all that a training depends on, beside what ``more`` names."""
    facts = {
        "revision": revision.RIVALS,
        "data": data.digest,
        "rival": name,
        "bounds": config.model_dump(include=set(BOUNDS)),
        **more,
    }
    if name == "vbpr":
        facts["features"] = atomic.digest_file(data.layout.features("image") / "values.npy")
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def run_rival(name: RivalName, task: Task, folder: Path) -> Run:
    """Train a rival and rank the test targets by it, or return what was found before.

    Args:
        name: the rival.
        task: data, parameters, bounds and seed.
        folder: runs are kept below it, named by digest.
    """
    own = folder / identify(task.data, name, task.config, parameters=dict(task.parameters), seed=task.seed)
    facts = _read_result(own / RESULT)
    return Run(name, task.seed, _train_and_rank(name, task, own) if facts is None else facts, own)


def _read_result(path: Path) -> dict[str, Any] | None:
    """Return a run's result; None where there is none, or none that is whole."""
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    intact = isinstance(facts, dict) and (path.parent / RANKS).is_file()
    return facts if intact and atomic.digest_file(path.parent / RANKS) == facts.get("ranks_sha256") else None


def _train_and_rank(name: RivalName, task: Task, own: Path) -> dict[str, Any]:
    test, start = task.data.test, time.perf_counter()
    fitted = RIVALS[name].fit(task)
    seconds = time.perf_counter() - start
    found = rank_cases(fitted.make_scorer(), test, allowed=task.data.allowed)
    columns = {USER_INDEX: test.users[test.owners], ITEM_INDEX: test.targets.values}
    table = pl.DataFrame({**columns, "rank": found.ranks["full"], "tied": found.tied})
    facts: dict[str, Any] = {"validation_ndcg@10": fitted.validation, "seconds": seconds, **fitted.facts}
    with atomic.write_folder(own) as partial:
        atomic.write_parquet(partial / RANKS, table.cast({USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32}))
        facts |= {"rival": name, "seed": task.seed, "parameters": dict(task.parameters)}
        facts["ranks_sha256"] = atomic.digest_file(partial / RANKS)
        atomic.write_json(partial / RESULT, facts)
    return facts
