"""Job ``rollback``: the champion before this one is champion again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from illmrec.config import RegisterConfig
from illmrec.errors import ModelError, NothingToDoError
from pipelines.context import Context, dataset_options, open_context
from pipelines.jobs.register import write_receipt
from pipelines.lock import hold_lock

if TYPE_CHECKING:
    from pipelines.tracking import Released, Tracker


@click.command()
@dataset_options
@click.option("--to", "wanted", metavar="VERSION", default=None, help="An earlier champion; default: the last one.")
@click.option("--why", default="no reason given", show_default=True, help="Reason, for the audit log.")
def command(dataset: str, as_json: bool, wanted: str | None, why: str) -> None:
    r"""Make the champion before this one champion again.

    Which one that is stands in the audit log. Its files are compared with their digests first; nothing is computed.
    The next night is written by it; run `illmrec recommend` to write tonight's again. Going back twice goes back
    further. Exit code 6 when there is no champion to go back to.

    \b
    Example:
      illmrec rollback --dataset amazon --why "complaints since Tuesday"
      illmrec rollback --dataset amazon --to 3
    """
    context = open_context(dataset, as_json)
    with hold_lock(context.layout.lock("registry")):
        facts = roll_back(context, wanted, why)
    context.emit(facts)


def roll_back(context: Context, wanted: str | None, why: str) -> dict[str, Any]:
    """Move the alias back, write the audit log and a receipt; return what was done.

    Args:
        context: the data set.
        wanted: version to go back to; None for the champion before.
        why: for the log.

    Raises:
        NothingToDoError: when there is no champion before this one, or it is the one wanted.
        ModelError: when the wanted version was never champion, is gone, or its files do not verify.
    """
    from pipelines.alias_log import HEAD_TAG, check_head, list_champions, move_alias, read_log
    from pipelines.release import fetch_release
    from pipelines.tracking import CHAMPION, Tracker

    started = time.monotonic()
    layout = context.layout
    tracker = Tracker(layout.root)
    current = tracker.resolve(context.section(RegisterConfig).name_prefix + layout.dataset, CHAMPION)
    entries = read_log(layout.alias_log)
    check_head(layout.alias_log, entries, tracker.read_model_tag(current.name, HEAD_TAG))
    line = list_champions(entries, CHAMPION, current.version)
    target = find_version(tracker, current, choose_version(line, current.version, wanted))
    fetch_release(layout, tracker, target)
    move_alias(layout.alias_log, tracker, target, CHAMPION, action="rollback", why=why)
    facts = {"model": current.name, "version": target.version, "replaces": current.version, "alias": CHAMPION}
    facts |= {"why": why, "seconds": round(time.monotonic() - started, 3)}
    write_receipt(layout.receipts, "rollback", facts)
    return facts


def choose_version(line: list[str], current: str, wanted: str | None) -> str:
    """Return the version to go back to.

    Args:
        line: champions one after the other, the current one last.
        current: the champion.
        wanted: version asked for; None for the one before.

    Raises:
        NothingToDoError: when there is none before, or it is the champion.
        ModelError: when the wanted one was never champion.
    """
    if wanted == current:
        raise NothingToDoError(f"version {current} is champion already.", hint="See `illmrec registry list`.")
    if wanted is not None:
        if wanted not in line:
            hint = f"Earlier champions: {', '.join(line[:-1]) or 'none'}. `illmrec registry list` shows all versions."
            raise ModelError(f"version {wanted} was never champion, or it was rolled back from.", hint=hint)
        return wanted
    if len(line) < 2:
        raise NothingToDoError(
            f"version {current} is the first champion; there is none before it.", hint="See `illmrec registry list`."
        )
    return line[-2]


def find_version(tracker: Tracker, current: Released, version: str) -> Released:
    """Return a version of the same model.

    Raises:
        ModelError: when the registry does not have it any more.
    """
    for released in tracker.list_versions(current.name):
        if released.version == version:
            return released
    hint = "Go back further with --to; `illmrec registry list` shows what is there."
    raise ModelError(f"the registry has no version {version} of {current.name} any more.", hint=hint)
