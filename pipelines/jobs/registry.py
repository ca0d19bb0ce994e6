"""Job ``registry``: what is in the model registry, what was moved in it, and what crashes left behind."""

from __future__ import annotations

import datetime
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.config import RegisterConfig
from illmrec.errors import LockedError
from pipelines.context import Context, dataset_options, open_context
from pipelines.jobs.register import write_receipt
from pipelines.lock import hold_lock
from pipelines.release import DIGEST_TAGS

if TYPE_CHECKING:
    from pipelines.tracking import OpenRun, Released, Tracker

HOLDERS = ("train", "registry", "retrain")
"""Locks of the jobs that keep a run open."""
NEEDED_TAGS = (*DIGEST_TAGS.values(), "git_commit", "quality_gate")
"""A version without one of them never came to be."""
METRIC_TAG = "metric/full/ndcg_at_10"


@click.group()
def command() -> None:
    r"""Look into the model registry and tidy it up.

    \b
    Example:
      illmrec registry list --dataset amazon
      illmrec registry log --dataset amazon
      illmrec registry sweep --dataset amazon --yes
    """


@command.command("list")
@dataset_options
def list_command(dataset: str, as_json: bool) -> None:
    r"""List versions, newest first: aliases, NDCG@10 with its interval, when and from which commit.

    \b
    Example:
      illmrec registry list --dataset amazon --json
    """
    from pipelines.tracking import Tracker

    context = open_context(dataset, as_json)
    rows = [describe_row(version) for version in Tracker(context.layout.root).list_versions(name_model(context))]
    if as_json:
        click.echo(json.dumps({"model": name_model(context), "versions": rows}, sort_keys=True))
        return
    if not rows:
        click.echo(f"no version of {name_model(context)}; run `illmrec register --dataset {dataset}`.")
        return
    click.echo(f"{'version':>7}  {'aliases':<21}  {'NDCG@10':<26}  {'registered (UTC)':<16}  commit")
    for row in rows:
        shown = "" if row["ndcg@10"] is None else f"{row['ndcg@10']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        aliases = ", ".join(row["aliases"])
        click.echo(f"{row['version']:>7}  {aliases:<21}  {shown:<26}  {row['registered'][:16]}  {row['commit'][:12]}")


@command.command("log")
@dataset_options
@click.option("--accept", metavar="REASON", default=None, help="Go on with the log as it is, on a new machine.")
def log_command(dataset: str, as_json: bool, accept: str | None) -> None:
    r"""Show the audit log of alias moves, after checking that nobody changed it. Exit code 4 when somebody did.

    \b
    Example:
      illmrec registry log --dataset amazon
      illmrec registry log --dataset amazon --accept "new machine, the old log is in the backup"
    """
    from pipelines.alias_log import HEAD_TAG, accept_log, check_head, read_log
    from pipelines.tracking import CHAMPION, Tracker

    context = open_context(dataset, as_json)
    path, tracker = context.layout.alias_log, Tracker(context.layout.root)
    if accept is not None:
        with hold_lock(context.layout.lock("registry")):
            accept_log(path, tracker, name_model(context), CHAMPION, accept)
    entries = read_log(path)
    check_head(path, entries, tracker.read_model_tag(name_model(context), HEAD_TAG))
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], sort_keys=True))
        return
    for entry in entries:
        moved = f"{entry.alias}: {entry.from_version or 'none'} -> {entry.to_version}"
        click.echo(f"{entry.time}  {entry.action:<8}  {moved:<24}  {entry.who}  {entry.why}")


@command.command("sweep")
@dataset_options
@click.option("--yes", is_flag=True, help="Do it; without this it is only said.")
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(0.0),
    default=None,
    help="Close open runs of other machines too when they are older than this many hours.",
)
def sweep_command(dataset: str, as_json: bool, yes: bool, hours: float | None) -> None:
    r"""Close what crashes left open: runs whose process is gone, versions that never got all their tags.

    A run is left alone while a job of this data set holds its lock, and when another machine opened it. Versions with
    an alias, and versions with all their tags, are never touched. A `train` that was killed can still be continued
    after its run was closed.

    \b
    Example:
      illmrec registry sweep --dataset amazon
      illmrec registry sweep --dataset amazon --yes
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = sweep(context, really=yes, hours=hours)
    context.emit(facts)


def sweep(context: Context, *, really: bool, hours: float | None = None) -> dict[str, Any]:
    """Find orphans, close them where asked to, and return what was found.

    Args:
        context: the data set; its registry lock is held.
        really: close them; otherwise only say so.
        hours: close open runs of other machines when they are older.
    """
    from pipelines.tracking import EXPERIMENT, Tracker

    tracker = Tracker(context.layout.root)
    runs = [run for run in tracker.list_open_runs(EXPERIMENT) if run.dataset == context.layout.dataset]
    closed, kept = judge_runs(runs, is_busy(context), hours)
    versions = [version for version in tracker.list_versions(name_model(context)) if is_orphan(version)]
    alive = {run.run_id for run, _ in kept}
    half = [m for m, run in tracker.list_half_models(EXPERIMENT, context.layout.dataset).items() if run not in alive]
    if really:
        _close(tracker, closed, half, versions)
    facts = {
        "swept": really,
        "open_runs": [run.run_id for run in closed],
        "open_runs_left_alone": [f"{run.run_id} ({reason})" for run, reason in kept],
        "half_written_models": half,
        "versions": [version.version for version in versions],
    }
    if really:
        write_receipt(context.layout.receipts, "registry-sweep", facts)
    return facts


def _close(tracker: Tracker, runs: list[OpenRun], models: list[str], versions: list[Released]) -> None:
    for model in models:
        tracker.fail_model(model)
    for run in runs:
        tracker.close_run(run.run_id)
    for version in versions:
        tracker.delete_version(version)


def is_orphan(version: Released) -> bool:
    """Return whether a version is one that ``register`` did not finish."""
    return not version.aliases and any(tag not in version.tags for tag in NEEDED_TAGS)


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


def describe_row(version: Released) -> dict[str, Any]:
    """Return what a list shows of a version."""
    return {
        "version": version.version,
        "aliases": sorted(version.aliases),
        "ndcg@10": _number(version, METRIC_TAG),
        "low": _number(version, f"{METRIC_TAG}.low"),
        "high": _number(version, f"{METRIC_TAG}.high"),
        "registered": datetime.datetime.fromtimestamp(version.created, datetime.UTC).isoformat(timespec="seconds"),
        "commit": version.tags.get("git_commit", ""),
        "started_from": version.tags.get("started_from", ""),
        "complete": not any(tag not in version.tags for tag in NEEDED_TAGS),
    }


def _number(version: Released, tag: str) -> float | None:
    try:
        return float(version.tags[tag])
    except (KeyError, ValueError):
        return None


def name_model(context: Context) -> str:
    """Return the registered model's name."""
    return context.section(RegisterConfig).name_prefix + context.layout.dataset
