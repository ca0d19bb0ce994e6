"""The audit log of alias moves: one JSON object a line, only ever appended to, each line chained to the one before.

A line is on disk before its alias moves, so a move without a line cannot happen here; a line whose move was cut off by
a crash is recognised, because the registry still says what the line gives as ``from``. The registry keeps the number
and digest of the last line, so lines that are cut off at the end are missed as well.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from illmrec import atomic
from illmrec.errors import ModelError
from pipelines.registry.tracking import Tracker
from pipelines.registry.version import Version

Action = Literal["register", "promote", "force", "rollback", "accept"]
HEAD_TAG = "alias_log_head"
"""Tag of the registered model: number and digest of the log's last line."""
NOTHING = "0" * 64


@dataclass(frozen=True)
class Entry:
    """One line.

    Args:
        number: 1 for the first.
        time: UTC.
        who: person and machine.
        model: registered model.
        alias: what moved.
        action: why it may move: a new version, a promotion, a forced one, a way back; ``accept`` moves nothing and says
            that a person took the log as it is.
        from_version: where it pointed; None for nowhere.
        to_version: where it points now.
        why: reason in words.
        before: digest of the line before.
    """

    number: int
    time: str
    who: str
    model: str
    alias: str
    action: Action
    from_version: str | None
    to_version: str
    why: str
    before: str

    def render(self) -> bytes:
        """Return the line."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode() + b"\n"


def read_log(path: Path) -> list[Entry]:
    """Return all lines, first one first; none where there is no log.

    A last line without an end, which a crash can leave, never took effect and is not returned.

    Raises:
        ModelError: when a line was changed, removed or put in.
    """
    if not path.is_file():
        return []
    entries: list[Entry] = []
    before = NOTHING
    for number, line in enumerate(_split(path.read_bytes()), start=1):
        hint = "Somebody changed the audit log. Compare it with a backup and the receipts; see docs/registry.md."
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            raise ModelError("is no entry of the audit log.", path=path, row=number, hint=hint) from None
        if entry.number != number or entry.before != before or entry.render() != line:
            raise ModelError("the chain of the audit log is broken here.", path=path, row=number, hint=hint)
        entries.append(entry)
        before = digest_line(line)
    return entries


def check_head(path: Path, entries: list[Entry], head: str | None) -> None:
    """Compare the log with what the registry says of its last line.

    Raises:
        ModelError: when lines that the registry knows of are missing at the end or are others.
    """
    if not head:
        return
    number, digest = head.split()
    # One line more than the registry knows is what a crash between the two leaves.
    within = int(number) <= len(entries) <= int(number) + 1
    known = digest_line(entries[int(number) - 1].render()) if within else None
    if known != digest:
        hint = "Somebody changed or replaced the audit log, or it is another machine's. Compare it with a backup."
        found = f"the registry knows {number} lines, of which the last is not here."
        if len(entries) > int(number) + 1:
            found = f"the registry knows {number} lines, here are {len(entries)}."
        raise ModelError(found, path=path, hint=hint)


def append_entry(
    path: Path,
    *,
    model: str,
    alias: str,
    action: Action,
    from_version: str | None,
    to_version: str,
    why: str,
) -> Entry:
    """Add a line and flush it to disk; call it under the registry's lock.

    Raises:
        ModelError: when the log was changed.
    """
    entries = read_log(path)
    _drop_torn_line(path)
    last = entries[-1].render() if entries else b""
    entry = Entry(
        number=len(entries) + 1,
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        who=name_actor(),
        model=model,
        alias=alias,
        action=action,
        from_version=from_version,
        to_version=to_version,
        why=why,
        before=digest_line(last) if last else NOTHING,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(entry.render())
        file.flush()
        os.fsync(file.fileno())
    atomic.sync_folder(path.parent)
    return entry


def move_alias(path: Path, tracker: Tracker, version: Version, alias: str, *, action: Action, why: str) -> Entry:
    """Write down that an alias moves, then move it; call it under the registry's lock.

    Raises:
        ModelError: when the log was changed; the alias stays where it is.
    """
    entries, head = read_log(path), tracker.read_model_tag(version.name, HEAD_TAG)
    check_head(path, entries, head)
    if head and len(entries) > int(head.split()[0]):
        # The line of a move that was cut off counts before another is written, so that they never pile up.
        tracker.set_model_tag(version.name, HEAD_TAG, _name_head(entries[-1]))
    before = tracker.find(version.name, alias)
    entry = append_entry(
        path,
        model=version.name,
        alias=alias,
        action=action,
        from_version=before.number if before else None,
        to_version=version.number,
        why=why,
    )
    tracker.set_alias(version, alias)
    tracker.set_model_tag(version.name, HEAD_TAG, _name_head(entry))
    return entry


def _name_head(entry: Entry) -> str:
    return f"{entry.number} {digest_line(entry.render())}"


def accept_log(path: Path, tracker: Tracker, model: str, alias: str, why: str) -> Entry:
    """Take the log as it is, on a new machine or after a loss that somebody looked into; call it under the lock.

    Raises:
        ModelError: when a line was changed: a broken chain is not accepted, the file must be put aside.
    """
    current = tracker.resolve(model, alias)
    entry = append_entry(
        path,
        model=model,
        alias=alias,
        action="accept",
        from_version=current.number,
        to_version=current.number,
        why=why,
    )
    tracker.set_model_tag(model, HEAD_TAG, _name_head(entry))
    return entry


def list_champions(entries: list[Entry], alias: str, current: str | None) -> list[str]:
    """Return the versions one can go back to, the current one last.

    A rollback takes the version it left off the list, so going back twice goes back further. A line whose move never
    happened is left out: the next one, or the registry, still starts from where that one did.

    Args:
        entries: the log.
        alias: of which alias.
        current: where the registry says it points.
    """
    moves = [entry for entry in entries if entry.alias == alias]
    starts = [*(move.from_version for move in moves[1:]), current]
    moves = [
        move for move, start in zip(moves, starts, strict=False)
        if start == move.to_version or start != move.from_version
    ]  # fmt: skip
    versions: list[str] = []
    for move in moves:
        if move.action == "rollback" and move.to_version in versions:
            versions = versions[: versions.index(move.to_version) + 1]
        elif not versions or versions[-1] != move.to_version:
            versions.append(move.to_version)
    if current is not None and (not versions or versions[-1] != current):
        versions.append(current)  # moved by other means
    return versions


def list_rolled_back(entries: list[Entry], alias: str) -> set[str]:
    """Return the versions that a rollback left and that nobody forced back since."""
    left: set[str] = set()
    for entry in entries:
        if entry.alias != alias:
            continue
        if entry.action == "rollback" and entry.from_version is not None:
            left.add(entry.from_version)
        left.discard(entry.to_version)
    return left


def digest_line(line: bytes) -> str:
    """Return the sha256 of a line."""
    return hashlib.sha256(line).hexdigest()


def name_actor() -> str:
    """Return who does it: the person a CI service names, else the user of this machine."""
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        return f"{os.environ.get('GITHUB_ACTOR') or getpass.getuser()} on {platform.node()}"
    return f"user {os.getuid()} on {platform.node()}"


def _split(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _drop_torn_line(path: Path) -> None:
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as file:
            file.truncate(len(whole))
