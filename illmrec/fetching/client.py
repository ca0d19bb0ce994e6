"""GET requests over guarded connections: redirects, status codes and sizes, without retries.

Bodies are taken as they are sent and never decompressed: a compressed answer to a request for a plain one is refused,
so it cannot grow in memory.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from illmrec.fetching.connection import BUFFER, GuardedConnection, Limits
from illmrec.fetching.failures import AnsweredError, RefusedError, TransientError
from illmrec.fetching.guard import Resolver, resolve
from illmrec.fetching.urls import Policy, Target, follow_redirect, parse_url

USER_AGENT = "illmrec/0.1 (catalog download)"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be gone a moment later."""


@dataclass
class Response:
    """The answer to one request; read it inside the block that opened it.

    Attributes:
        status: 200 or 206.
        url: where the answer came from, after redirects.
        headers: by lower-case name.
        length: bytes of the body that the server announced; None when it did not.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    length: int | None
    _read: Callable[[int], bytes] = field(repr=False)
    _max_bytes: int = field(repr=False)
    finished: bool = field(default=False, repr=False)

    def iterate(self) -> Iterator[bytes]:
        """Yield the body in pieces.

        Raises:
            RefusedError: when it is larger than allowed.
            TransientError: when it ends before the announced length.
        """
        received = 0
        while piece := self._receive():
            received += len(piece)
            if received > self._max_bytes:
                raise _too_large(self.url, received, self._max_bytes)
            yield piece
        if self.length is not None and received != self.length:
            raise TransientError(f"{self.url} ended after {received:,} of {self.length:,} bytes.")
        self.finished = True

    def _receive(self) -> bytes:
        with _translate(self.url):
            return self._read(BUFFER)


class Client:
    """Asks servers for files. Safe to share between threads.

    Args:
        policy: what the user allows.
        limits: bounds of each request.
        resolver: looks up (host, port); the system's when None.
        tls: TLS settings; the system's certificates when None.
        proxy: (host, port) of a proxy, used only when given.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits | None = None,
        *,
        resolver: Resolver | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: tuple[str, int] | None = None,
    ) -> None:
        self.policy, self.limits = policy, limits or Limits()
        self._resolver, self._tls, self._proxy = resolver, tls or ssl.create_default_context(), proxy
        self._idle: dict[tuple[str, str, int], list[GuardedConnection]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, authorization: str | None = None
    ) -> Iterator[Response]:
        """Ask for ``url`` and yield the answer, status 200 or 206.

        Args:
            url: the address.
            headers: further request headers.
            authorization: value of that header; sent to the address's own origin only, not along redirects.

        Raises:
            RefusedError: when an address, a redirect or the size breaks a rule.
            AnsweredError: when the server says finally that there is no such file or no permission.
            TransientError: when the connection or the server failed.
        """
        target = parse_url(url, self.policy)
        secret_for = target.origin
        for _ in range(self.limits.max_redirects + 1):
            sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
            if authorization and target.origin == secret_for:
                sent["Authorization"] = authorization
            connection, raw = self._ask(target, sent)
            if raw.status not in REDIRECTS:
                break
            location = raw.getheader("Location", "")
            connection.close()
            target = follow_redirect(target, location, self.policy)
        else:
            connection.close()
            raise RefusedError(f"{url} redirects more than {self.limits.max_redirects} times.")
        kept = False
        try:
            response = self._accept(target, raw)
            yield response
            kept = response.finished and not raw.will_close
        finally:
            raw.close()  # the parser counts an answer as read only then
            self._give_back(target, connection) if kept else connection.close()

    def close(self) -> None:
        """Close the connections kept for further requests."""
        with self._lock:
            idle = [connection for kept in self._idle.values() for connection in kept]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _ask(self, target: Target, headers: Mapping[str, str]) -> tuple[GuardedConnection, http.client.HTTPResponse]:
        """Send the request, on a kept connection if there is one that still works."""
        with self._lock:
            kept = self._idle.get(target.origin)
            reused = kept.pop() if kept else None
        if reused is not None:
            try:
                return reused, _send(reused, target, headers)
            except (http.client.HTTPException, OSError, TransientError):
                reused.close()  # the server may have closed it meanwhile; a new connection shows what is really wrong
        addresses = resolve(target, self.policy, self._resolver)
        connection = GuardedConnection(target, addresses, self.limits, self._tls, self._proxy)
        try:
            with _translate(target.url):
                return connection, _send(connection, target, headers)
        except BaseException:
            connection.close()
            raise

    def _accept(self, target: Target, raw: http.client.HTTPResponse) -> Response:
        """Turn an answer into a response, or say why it is none."""
        if raw.status in PASSING:
            wait = parse_retry_after(raw.getheader("Retry-After"))
            raise TransientError(f"{target.url} answered {raw.status} {raw.reason}.", retry_after=wait)
        if raw.status not in (200, 206):
            raise AnsweredError(f"{target.url} answered {raw.status} {raw.reason}.", status=raw.status)
        headers = {name.lower(): value for name, value in raw.getheaders()}
        length = raw.length
        if length is not None and length > self.limits.max_bytes:
            raise _too_large(target.url, length, self.limits.max_bytes)
        return Response(raw.status, target.url, headers, length, raw.read1, self.limits.max_bytes)

    def _give_back(self, target: Target, connection: GuardedConnection) -> None:
        with self._lock:
            self._idle.setdefault(target.origin, []).append(connection)


def parse_retry_after(value: str | None, now: datetime.datetime | None = None) -> float | None:
    """Return the seconds that a header ``Retry-After`` (a number or a date) asks for; None when it says nothing."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return max(0.0, (moment - (now or datetime.datetime.now(datetime.UTC))).total_seconds())
    except (TypeError, ValueError):
        return None


def _send(connection: GuardedConnection, target: Target, headers: Mapping[str, str]) -> http.client.HTTPResponse:
    connection.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", target.authority)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


@contextlib.contextmanager
def _translate(url: str) -> Iterator[None]:
    """Turn what sockets and the HTTP parser raise into our own errors."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        message = f"the server's certificate for {url} is not valid: {error.verify_message}."
        raise RefusedError(message, hint="Check the clock and the system's certificates (SSL_CERT_FILE).") from None
    except TimeoutError:
        raise TransientError(f"{url} did not answer in time.") from None
    except http.client.IncompleteRead:
        raise TransientError(f"{url} ended in the middle of the answer.") from None
    except http.client.HTTPException as error:
        detail = f"{type(error).__name__} {error}".strip()[:200]
        raise TransientError(f"{url} gave no proper answer: {detail}.") from None
    except OSError as error:
        raise TransientError(f"the connection for {url} failed: {error}.") from None


def _too_large(url: str, size: int, limit: int) -> RefusedError:
    return RefusedError(f"{url} has {size:,} bytes or more, at most {limit:,} are allowed.")
