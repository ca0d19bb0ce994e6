"""Job ``rollback``: the champion before this one is champion again."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from illmrec.errors import ModelError, NothingToDoError
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.registry.alias_log import list_champions
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHAMPION


@dataclass(frozen=True)
class RolledBack:
    """What was moved back.

    Args:
        model: the registered model.
        version: the version that serves now.
        replaces: the version that served before.
        alias: what moved.
        why: the reason given.
        seconds: how long it took.
    """

    model: str
    version: str
    replaces: str
    alias: str
    why: str
    seconds: float


@locked("registry")
def roll_back(context: Context, wanted: str | None, why: str) -> RolledBack:
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
    registry = Registry(context)
    current = registry.champion
    line = list_champions(registry.read_log(), CHAMPION, current.number)
    number = choose_version(line, current.number, wanted)
    target = registry.find_version(number)
    if target is None:
        hint = "Go back further with --to; `illmrec registry list` shows what is there."
        raise ModelError(f"the registry has no version {number} of {current.name} any more.", hint=hint)
    registry.fetch(target)
    registry.move_alias(target, CHAMPION, action="rollback", why=why)
    seconds = round(time.monotonic() - started, 3)
    moved = RolledBack(current.name, target.number, current.number, CHAMPION, why, seconds)
    registry.write_receipt("rollback", asdict(moved))
    return moved


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
