"""Job ``registry``: what is in the model registry, what was moved in it, and what crashes left behind."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from illmrec.errors import LockedError
from pipelines.project.context import Context
from pipelines.project.lock import hold_lock, locked
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import EXPERIMENT, OpenRun, Tracker
from pipelines.registry.version import DIGEST_TAGS, Version

HOLDERS = ("train", "registry", "retrain")
"""Locks of the jobs that keep a run open."""
NEEDED_TAGS = (*DIGEST_TAGS.values(), "git_commit", "quality_gate")
"""A version without one of them never came to be."""


@dataclass(frozen=True)
class Orphans:
    """What crashes left behind.

    Args:
        swept: whether it was closed, or only looked for.
        open_runs: runs whose process is gone.
        open_runs_left_alone: runs that may be alive, with the reason.
        half_written_models: models whose files were never written whole.
        versions: versions that never got all their tags.
    """

    swept: bool
    open_runs: list[str]
    open_runs_left_alone: list[str]
    half_written_models: list[str]
    versions: list[str]


@locked("registry")
def sweep(context: Context, *, really: bool, hours: float | None = None) -> Orphans:
    """Look for orphans, close them where asked to, and return them.

    Args:
        context: the data set.
        really: close them; otherwise only say so.
        hours: close open runs of other machines when they are older.
    """
    registry = Registry(context)
    tracker, dataset = registry.tracker, context.layout.dataset
    runs = [run for run in tracker.list_open_runs(EXPERIMENT) if run.dataset == dataset]
    gone, kept = judge_runs(runs, is_busy(context), hours)
    versions = [version for version in registry.list_versions() if is_orphan(version)]
    alive = {run.run_id for run, _ in kept}
    half = [model for model, run in tracker.list_half_models(EXPERIMENT, dataset).items() if run not in alive]
    orphans = Orphans(
        swept=really,
        open_runs=[run.run_id for run in gone],
        open_runs_left_alone=[f"{run.run_id} ({reason})" for run, reason in kept],
        half_written_models=half,
        versions=[version.number for version in versions],
    )
    if really:
        _close(tracker, gone, half, versions)
        registry.write_receipt("registry-sweep", asdict(orphans))
    return orphans


def _close(tracker: Tracker, runs: list[OpenRun], models: list[str], versions: list[Version]) -> None:
    for model in models:
        tracker.fail_model(model)
    for run in runs:
        tracker.close_run(run.run_id)
    for version in versions:
        tracker.delete_version(version)


def is_orphan(version: Version) -> bool:
    """Return whether a version is one that ``register`` did not finish."""
    return not version.aliases and not is_complete(version)


def is_complete(version: Version) -> bool:
    """Return whether a version has every tag that it must have."""
    return all(tag in version.tags for tag in NEEDED_TAGS)


def judge_runs(
    runs: list[OpenRun], busy: str | None, hours: float | None, now: float | None = None
) -> tuple[list[OpenRun], list[tuple[OpenRun, str]]]:
    """Return the runs whose process is gone, and the others with the reason why they may be alive.

    Args:
        runs: open runs.
        busy: job of this machine that holds a lock; None when there is none.
        hours: age at which runs of other machines count as gone; None for never.
        now: seconds since 1970; None for now.
    """
    now = time.time() if now is None else now
    gone, alive = [], []
    for run in runs:
        old = hours is not None and now - run.started > hours * 3600.0
        if run.host not in ("", platform.node()) and not old:
            alive.append((run, f"opened by {run.host}"))
        elif run.host in ("", platform.node()) and busy:
            alive.append((run, f"{busy} is running"))
        else:
            gone.append(run)
    return gone, alive


def is_busy(context: Context) -> str | None:
    """Return the name of a job that holds its lock now; the registry's own lock is the caller's."""
    for name in HOLDERS:
        path: Path = context.layout.lock(name)
        if name == "registry" or not path.is_file():
            continue
        try:
            with hold_lock(path):
                pass
        except LockedError:
            return name
    return None
