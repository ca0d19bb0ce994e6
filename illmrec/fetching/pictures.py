"""Catalog pictures: many small downloads from strangers' servers, each judged before it is kept.

Worker threads fetch and decode; one thread, the caller's, writes. No host gets more than its share of connections, and
a host that only fails is left alone for the rest of the run.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from illmrec.columns import IMAGE_OK, ITEM_ID
from illmrec.data.images import ImageProbe, probe_bytes
from illmrec.data.shards import PictureRow, ShardStore
from illmrec.fetching.client import Client
from illmrec.fetching.failures import AnsweredError, RefusedError, TransientError
from illmrec.fetching.picture_urls import WantedPicture
from illmrec.fetching.retry import Backoff, retry

DEAD, PLACEHOLDER, BROKEN, REFUSED, FAILED = "dead", "placeholder", "broken", "refused", "failed"
GONE = (404, 410)
LOOKAHEAD = 20_000
"""Pictures read ahead, so that one slow host does not keep the others waiting."""


@dataclass(frozen=True)
class PictureRules:
    """How pictures are fetched and which are kept.

    Attributes:
        connections: at the same time, altogether.
        per_host: at the same time, to one host.
        max_pixels: larger pictures are refused before they are decoded.
        min_side: pictures with a shorter side are placeholders.
        max_items: a picture that more items than this show is a placeholder.
        placeholders: sha256 of pictures known to be placeholders.
        give_up_after: failures in a row after which a host is left alone.
    """

    connections: int = 16
    per_host: int = 4
    max_pixels: int = 50_000_000
    min_side: int = 10
    max_items: int = 100
    placeholders: frozenset[str] = frozenset()
    give_up_after: int = 50


@dataclass(frozen=True)
class _Fetched:
    wanted: WantedPicture
    status: str
    reason: str = ""
    content: bytes = b""
    sha256: str = ""
    width: int = 0
    height: int = 0


@dataclass
class _Host:
    """One host's queue, its running downloads and its failures in a row."""

    waiting: deque[WantedPicture] = field(default_factory=deque)
    running: int = 0
    failures: int = 0


def select_missing(wanted: Iterable[WantedPicture], store: ShardStore, again: Iterable[str]) -> Iterator[WantedPicture]:
    """Yield what is not in the index yet, changed its address, or has a status that is tried again.

    Args:
        wanted: what the catalog offers.
        store: what is there.
        again: statuses that are tried again.
    """
    columns = (store.index[name].to_list() for name in (ITEM_ID, "position", "url", "status"))
    known = {(item, position): (url, status) for item, position, url, status in zip(*columns, strict=True)}
    repeated = frozenset(again)
    for picture in wanted:
        url, status = known.get((picture.item_id, picture.position), ("", ""))
        if picture.url != url or status in repeated:
            yield picture


def fetch_pictures(
    wanted: Iterable[WantedPicture],
    store: ShardStore,
    client: Client,
    rules: PictureRules,
    *,
    backoff: Backoff | None = None,
    rewrite: Callable[[str], str] = str,
    clock: Callable[[], float] = time.time,
    show: Callable[[int], object] = lambda _: None,
) -> dict[str, int]:
    """Fetch pictures into a store.

    Args:
        wanted: which; see :func:`select_missing`.
        store: written to by this thread only, and flushed at the end whatever happens.
        client: whom to ask through.
        rules: how, and what is kept.
        backoff: how failures are retried.
        rewrite: turns a catalog's address into a mirror's.
        clock: seconds since 1970.
        show: is told about each picture.

    Returns:
        How many pictures got each status, and how many were ``postponed`` because their host only failed.
    """
    tries = backoff or Backoff(attempts=3, longest_seconds=60.0)

    def fetch(picture: WantedPicture) -> _Fetched:
        return fetch_picture(picture, client, rules, tries, rewrite)

    recorder = _Recorder(store, rules, clock)
    schedule = _Schedule(iter(wanted), rules, rewrite)
    pool = ThreadPoolExecutor(rules.connections, thread_name_prefix="fetch")
    running: dict[Future[_Fetched], str] = {}
    try:
        while True:
            for host, picture in schedule.start(rules.connections - len(running)):
                running[pool.submit(fetch, picture)] = host
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                fetched = future.result()
                schedule.finish(running.pop(future), failed=fetched.status == FAILED)
                recorder.record(fetched)
                show(1)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        store.flush()
    postponed = {"postponed": schedule.postponed} if schedule.postponed else {}
    return dict(sorted(recorder.counts.items())) | postponed


def fetch_picture(
    picture: WantedPicture, client: Client, rules: PictureRules, backoff: Backoff, rewrite: Callable[[str], str] = str
) -> _Fetched:
    """Fetch and judge one picture. Never raises for what a server or an address does."""

    def ask() -> tuple[bytes, str]:
        with client.get(rewrite(picture.url), {"Accept": "image/*"}) as response:
            return b"".join(response.iterate()), response.headers.get("content-type", "")

    try:
        content, kind = retry(ask, backoff)
    except RefusedError as error:
        return _Fetched(picture, REFUSED, error.message)
    except AnsweredError as error:
        return _Fetched(picture, DEAD if error.status in GONE else REFUSED, error.message)
    except TransientError as error:
        return _Fetched(picture, FAILED, error.message)
    return judge_picture(picture, content, kind, rules)


def judge_picture(picture: WantedPicture, content: bytes, kind: str, rules: PictureRules) -> _Fetched:
    """Decode a picture in full and decide what it is.

    Args:
        picture: which.
        content: the body.
        kind: the answer's content type, for the reason only: servers lie about it.
        rules: caps, and what counts as a placeholder.
    """
    probe = probe_bytes(content, rules.max_pixels)
    status, reason = _judge(probe, kind, rules)
    return _Fetched(picture, status, reason, content, probe.sha256, probe.width, probe.height)


def _judge(probe: ImageProbe, kind: str, rules: PictureRules) -> tuple[str, str]:
    """Return status and reason of a decoded picture."""
    if probe.status == "too_large":
        return REFUSED, probe.reason
    if probe.status != IMAGE_OK:
        return BROKEN, f"sent as {kind[:80]}: {probe.reason}" if kind else probe.reason
    if probe.sha256 in rules.placeholders:
        return PLACEHOLDER, "a known placeholder"
    if min(probe.width, probe.height) < rules.min_side:
        return PLACEHOLDER, f"{probe.width} x {probe.height} pixels, at least {rules.min_side} a side expected"
    return IMAGE_OK, ""


class _Schedule:
    """Decides which picture is fetched next, host by host in turn."""

    def __init__(self, source: Iterator[WantedPicture], rules: PictureRules, rewrite: Callable[[str], str]) -> None:
        self._source, self._rules, self._rewrite = source, rules, rewrite
        self._hosts: dict[str, _Host] = {}
        self._waiting = 0
        self.postponed = 0

    def start(self, free: int) -> Iterator[tuple[str, WantedPicture]]:
        """Yield up to ``free`` pictures of hosts that may get another connection."""
        while free > 0:
            self._read_ahead()
            ready = [name for name, host in self._hosts.items() if host.waiting and host.running < self._rules.per_host]
            if not ready:
                return
            for name in ready[:free]:
                host = self._hosts.pop(name)  # to the end of the line
                self._hosts[name] = host
                host.running += 1
                self._waiting -= 1
                free -= 1
                yield name, host.waiting.popleft()

    def finish(self, name: str, *, failed: bool) -> None:
        """Take note that a download of a host ended."""
        host = self._hosts[name]
        host.running -= 1
        host.failures = host.failures + 1 if failed else 0
        if host.failures >= self._rules.give_up_after:
            self.postponed += len(host.waiting)
            self._waiting -= len(host.waiting)
            host.waiting.clear()

    def _read_ahead(self) -> None:
        while self._waiting < LOOKAHEAD:
            picture = next(self._source, None)
            if picture is None:
                return
            host = self._hosts.setdefault(_name_host(self._rewrite(picture.url)), _Host())
            if host.failures >= self._rules.give_up_after:
                self.postponed += 1
                continue
            host.waiting.append(picture)
            self._waiting += 1


class _Recorder:
    """Writes what was fetched into the store and notices pictures that too many items show."""

    def __init__(self, store: ShardStore, rules: PictureRules, clock: Callable[[], float]) -> None:
        self._store, self._rules, self._clock = store, rules, clock
        self.counts: Counter[str] = Counter()
        usable = store.index.filter(store.index["status"] == IMAGE_OK).unique([ITEM_ID, "sha256"])
        self._shown: Counter[str] = Counter(dict(usable["sha256"].value_counts().iter_rows()))

    def record(self, fetched: _Fetched) -> None:
        """Add one picture."""
        status, reason = fetched.status, fetched.reason
        if status == IMAGE_OK:
            self._shown[fetched.sha256] += 1
            items = self._shown[fetched.sha256]
            if items > self._rules.max_items:
                status, reason = PLACEHOLDER, f"the same picture for more than {self._rules.max_items} items"
                self._store.overrule(fetched.sha256, status, reason)
        self.counts[status] += 1
        row = PictureRow(
            item_id=fetched.wanted.item_id,
            position=fetched.wanted.position,
            url=fetched.wanted.url,
            status=status,
            sha256=fetched.sha256,
            width=fetched.width,
            height=fetched.height,
            bytes=len(fetched.content),
            shard=None,
            offset=None,
            reason=reason,
            fetched_at=int(self._clock()),
        )
        self._store.add(row, fetched.content if status == IMAGE_OK else None)


def _name_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
