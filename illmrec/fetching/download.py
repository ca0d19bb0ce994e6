"""One large file: streamed to ``<name>.part``, continued where it stopped, checked, then renamed into place."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from illmrec import atomic
from illmrec.errors import DataError
from illmrec.fetching.client import Client, Response
from illmrec.fetching.failures import AnsweredError, RefusedError, TransientError
from illmrec.fetching.retry import Backoff, retry
from illmrec.progress import track_bytes

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_STARTS = {".gz": b"\x1f\x8b", ".zip": b"PK"}
_UNSATISFIABLE = 416


@dataclass(frozen=True)
class Downloaded:
    """A file that is in place.

    Attributes:
        path: where.
        bytes: its size.
        sha256: of its content.
        resumed_from: bytes that an earlier run had left; 0 when it began anew.
        already_there: whether nothing had to be fetched.
    """

    path: Path
    bytes: int
    sha256: str
    resumed_from: int = 0
    already_there: bool = False


@dataclass
class _Part:
    """What is known of an unfinished file; kept beside it as JSON.

    A partial file is only continued when the server confirms by ``validator`` (a strong ETag or a date) that it still
    has the same file.
    """

    url: str
    validator: str = ""
    total: int | None = None


def download_file(
    client: Client,
    url: str,
    destination: Path,
    *,
    sha256: str = "",
    authorization: str | None = None,
    backoff: Backoff | None = None,
) -> Downloaded:
    """Fetch a file, or finish fetching it.

    Args:
        client: whom to ask through.
        url: where it is.
        destination: where it goes; a file that is there already is only checked.
        sha256: its digest, where one is known.
        authorization: header for the publisher's own host.
        backoff: how failures are retried.

    Raises:
        RefusedError: when an address or the content breaks a rule.
        AnsweredError: when the server does not have the file, or not for us.
        TransientError: when it failed too often in a row; what arrived is kept for the next run.
        DataError: when the digest is another, or the disk is too small.
    """
    if destination.is_file():
        return Downloaded(destination, destination.stat().st_size, _check_digest(destination, sha256), 0, True)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f"{destination.name}.part")
    before = part.stat().st_size if part.exists() else 0

    def attempt() -> bool:
        return _receive(client, url, part, authorization)

    def measure() -> int:
        return part.stat().st_size if part.exists() else 0

    resumed = retry(attempt, backoff or Backoff(), measure)
    _check_start(part, destination, url)
    digest = _check_digest(part, sha256)
    size = part.stat().st_size
    part.replace(destination)
    atomic.sync_folder(destination.parent)
    _facts_path(part).unlink(missing_ok=True)
    return Downloaded(destination, size, digest, before if resumed else 0)


def _receive(client: Client, url: str, part: Path, authorization: str | None) -> bool:
    """Ask once for what is missing and append it; return whether it went on where an earlier try had stopped."""
    facts, have = _read_facts(part, url)
    if have and facts.total == have:
        return True
    headers = {"Range": f"bytes={have}-", "If-Range": facts.validator} if have else {}
    try:
        with client.get(url, headers, authorization=authorization) as response:
            begin = _find_begin(response, have)
            total = None if response.length is None else begin + response.length
            if begin and facts.total not in (None, total):
                message = f"{url} now announces {total or 0:,} bytes, {facts.total or 0:,} before."
                raise _start_over(part, message)
            _refuse_compressed(response)
            facts = _Part(url, _find_validator(response), total)
            _check_space(part, total, have)
            atomic.write_json(_facts_path(part), asdict(facts))
            _append(response, part, begin, total)
    except AnsweredError as error:
        if error.status == _UNSATISFIABLE and have:
            raise _start_over(part, f"{url} is no longer {have:,} bytes long.") from None
        raise
    return begin > 0


def _append(response: Response, part: Path, begin: int, total: int | None) -> None:
    name = part.name.removesuffix(".part")
    with part.open("r+b" if part.exists() else "w+b") as file, track_bytes(name, total=total, done=begin) as show:
        file.truncate(begin)
        file.seek(begin)
        try:
            for piece in response.iterate():
                file.write(piece)
                show(len(piece))
        finally:
            file.flush()
            os.fsync(file.fileno())


def _find_begin(response: Response, have: int) -> int:
    """Return the position in the file at which the answer's body begins.

    Raises:
        RefusedError: when the server answered another range than the one asked for.
    """
    if response.status != 206:
        return 0
    found = _RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if not have or found is None or int(found[1]) != have:
        got = response.headers.get("content-range", "nothing")
        raise RefusedError(f"{response.url} was asked for bytes from {have:,} and sent {got!r}.")
    whole = found[3]
    if whole != "*" and int(found[2]) + 1 != int(whole):
        raise RefusedError(f"{response.url} was asked for the rest and sent {found[0]!r}.")
    return have


def _find_validator(response: Response) -> str:
    tag = response.headers.get("etag", "")
    return tag if tag.startswith('"') else response.headers.get("last-modified", "")


def _refuse_compressed(response: Response) -> None:
    """Refuse an answer that was compressed on the way, unless the file itself is what is compressed."""
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding == "identity" or (encoding in ("gzip", "x-gzip") and response.url.partition("?")[0].endswith(".gz")):
        return
    raise RefusedError(f"{response.url} was sent as {encoding!r} although the plain file was asked for.")


def _read_facts(part: Path, url: str) -> tuple[_Part, int]:
    """Return what is known of a partial file and how many of its bytes can be built on."""
    try:
        facts = _Part(**json.loads(_facts_path(part).read_bytes()))
        have = part.stat().st_size
    except (OSError, ValueError, TypeError):
        return _Part(url), 0
    usable = facts.url == url and facts.validator and (facts.total is None or have <= facts.total)
    return (facts, have) if usable else (_Part(url), 0)


def _start_over(part: Path, message: str) -> TransientError:
    part.unlink(missing_ok=True)
    _facts_path(part).unlink(missing_ok=True)
    return TransientError(f"{message} The file changed; beginning anew.")


def _check_space(part: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        message = f"needs {total - have:,} more bytes, {free:,} are free on this disk."
        raise DataError(message, path=part, hint="Make room, or choose another --folder; what arrived is kept.")


def _check_start(part: Path, destination: Path, url: str) -> None:
    """Refuse a web page or an empty answer in place of the file."""
    with part.open("rb") as file:
        start = file.read(512)
    expected = _STARTS.get(destination.suffix, b"")
    is_page = start.lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if start and start.startswith(expected) and not is_page:
        return
    part.unlink()
    _facts_path(part).unlink(missing_ok=True)
    what = "a web page" if is_page else f"{start[:16]!r}" if start else "nothing"
    message = f"{url} sent {what} instead of {destination.name}."
    raise RefusedError(message, hint="Open the address in a browser, or name another source with --mirror.")


def _check_digest(path: Path, expected: str) -> str:
    """Return the sha256 of a file.

    Raises:
        DataError: when another one was expected; a partial file is removed.
    """
    digest = atomic.digest_file(path)
    if expected and digest != expected.lower():
        partial = path.suffix == ".part"
        if partial:
            path.unlink()
            _facts_path(path).unlink(missing_ok=True)
        hint = (
            "Fetch it again, or compare the digest with the publisher's." if partial else "Remove it and fetch again."
        )
        raise DataError(f"has sha256 {digest}, expected {expected.lower()}.", path=path, hint=hint)
    return digest


def _facts_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
