"""Job ``rollback``: the champion before this one is champion again."""

from __future__ import annotations

import time
from typing import Any

from illmrec.errors import ModelError, NothingToDoError
from pipelines.parameters.operation import RegisterConfig
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt
from pipelines.registry.alias_log import HEAD_TAG, check_head, list_champions, move_alias, read_log
from pipelines.registry.tracking import CHAMPION, Released, Tracker
from pipelines.registry.version import fetch_release


@locked("registry")
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
    facts: dict[str, Any] = {
        "model": current.name,
        "version": target.version,
        "replaces": current.version,
        "alias": CHAMPION,
    }
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
