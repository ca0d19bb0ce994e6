"""Command ``registry``."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, wants_json

if TYPE_CHECKING:
    from pipelines.project.context import Context
    from pipelines.registry.version import Version


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
@about_dataset
def list_command(context: Context) -> None:
    r"""List versions, newest first: aliases, NDCG@10 with its interval, when and from which commit.

    \b
    Example:
      illmrec registry list --dataset amazon --json
    """
    from pipelines.registry.registry import Registry

    registry = Registry(context)
    rows = [describe_row(version) for version in registry.list_versions()]
    if wants_json():
        click.echo(json.dumps({"model": registry.name, "versions": rows}, sort_keys=True))
        return
    if not rows:
        click.echo(f"no version of {registry.name}; run `illmrec register --dataset {context.layout.dataset}`.")
        return
    click.echo(f"{'version':>7}  {'aliases':<21}  {'NDCG@10':<26}  {'registered (UTC)':<16}  commit")
    for row in rows:
        shown = "" if row["ndcg@10"] is None else f"{row['ndcg@10']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        aliases = ", ".join(row["aliases"])
        click.echo(f"{row['version']:>7}  {aliases:<21}  {shown:<26}  {row['registered'][:16]}  {row['commit'][:12]}")


@command.command("log")
@about_dataset
@click.option("--accept", metavar="REASON", default=None, help="Go on with the log as it is, on a new machine.")
def log_command(context: Context, accept: str | None) -> None:
    r"""Show the audit log of alias moves, after checking that nobody changed it. Exit code 4 when somebody did.

    \b
    Example:
      illmrec registry log --dataset amazon
      illmrec registry log --dataset amazon --accept "new machine, the old log is in the backup"
    """
    from pipelines.registry.registry import Registry

    registry = Registry(context)
    if accept is not None:
        registry.accept_log(accept)
    entries = registry.read_log()
    if wants_json():
        click.echo(json.dumps([asdict(entry) for entry in entries], sort_keys=True))
        return
    for entry in entries:
        moved = f"{entry.alias}: {entry.from_version or 'none'} -> {entry.to_version}"
        click.echo(f"{entry.time}  {entry.action:<8}  {moved:<24}  {entry.who}  {entry.why}")


@command.command("sweep")
@about_dataset
@click.option("--yes", is_flag=True, help="Do it; without this it is only said.")
@click.option(
    "--older-than",
    "hours",
    type=click.FloatRange(0.0),
    default=None,
    help="Close open runs of other machines too when they are older than this many hours.",
)
def sweep_command(context: Context, yes: bool, hours: float | None) -> dict[str, Any]:
    r"""Close what crashes left open: runs whose process is gone, versions that never got all their tags.

    A run is left alone while a job of this data set holds its lock, and when another machine opened it. Versions with
    an alias, and versions with all their tags, are never touched. A `train` that was killed can still be continued
    after its run was closed.

    \b
    Example:
      illmrec registry sweep --dataset amazon
      illmrec registry sweep --dataset amazon --yes
    """
    from pipelines.registry.sweep import sweep

    return asdict(sweep(context, really=yes, hours=hours))


def describe_row(version: Version) -> dict[str, Any]:
    """Return what a list shows of a version."""
    from pipelines.registry.sweep import is_complete

    return {
        "version": version.number,
        "aliases": sorted(version.aliases),
        "ndcg@10": _number(version, METRIC_TAG),
        "low": _number(version, f"{METRIC_TAG}.low"),
        "high": _number(version, f"{METRIC_TAG}.high"),
        "registered": datetime.datetime.fromtimestamp(version.created, datetime.UTC).isoformat(timespec="seconds"),
        "commit": version.tags.get("git_commit", ""),
        "started_from": version.tags.get("started_from", ""),
        "complete": is_complete(version),
    }


def _number(version: Version, tag: str) -> float | None:
    try:
        return float(version.tags[tag])
    except (KeyError, ValueError):
        return None
