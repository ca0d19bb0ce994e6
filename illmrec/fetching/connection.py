"""A connection that goes to a checked address and cannot be kept waiting.

Each read has a time limit, the whole answer has one, and a server that drips bytes more slowly than a minimum rate is
given up; headers count as much as the body.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from illmrec.fetching.failures import TransientError
from illmrec.fetching.urls import Target

BUFFER = 256 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one request.

    Attributes:
        connect_seconds: to open the connection, TLS included.
        idle_seconds: between two pieces of the answer.
        total_seconds: for the whole answer; None for none, as large files take what they take.
        min_rate: bytes a second, over each ``rate_window`` seconds spent waiting for the server.
        rate_window: see ``min_rate``.
        max_bytes: of the body.
        max_redirects: followed for one request.
    """

    connect_seconds: float = 15.0
    idle_seconds: float = 30.0
    total_seconds: float | None = None
    min_rate: float = 1024.0
    rate_window: float = 20.0
    max_bytes: int = 200 * 1024**3
    max_redirects: int = 5


class Pace:
    """Watches how fast one answer arrives."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self.begin()

    def begin(self) -> None:
        """Start the clock of a new answer."""
        self._started = self._clock()
        self._waited, self._received = 0.0, 0

    def allow(self) -> float:
        """Return the seconds that the next read may take.

        Raises:
            TransientError: when the whole answer has taken too long.
        """
        total = self._limits.total_seconds
        if total is None:
            return self._limits.idle_seconds
        left = self._started + total - self._clock()
        if left <= 0:
            raise TransientError(f"the answer took longer than {total:g} s.")
        return min(left, self._limits.idle_seconds)

    def note(self, size: int, seconds: float) -> None:
        """Record that a read of ``size`` bytes waited ``seconds``.

        Raises:
            TransientError: when the last window of waiting brought too little.
        """
        self._waited += seconds
        self._received += size
        if self._waited < self._limits.rate_window:
            return
        rate = self._received / self._waited
        if rate < self._limits.min_rate:
            raise TransientError(
                f"the server sent {rate:,.0f} bytes/s, at least {self._limits.min_rate:,.0f} expected."
            )
        self._waited, self._received = 0.0, 0


class _PacedReader(io.RawIOBase):
    """The receiving half of a socket under a :class:`Pace`."""

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        self._socket, self._pace = sock, pace
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._pace.allow())
        started = time.monotonic()
        size = self._raw.readinto(buffer)
        self._pace.note(size or 0, time.monotonic() - started)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedSocket:
    """What ``http.client`` uses of a socket."""

    def __init__(self, sock: socket.socket, limits: Limits) -> None:
        self.socket, self.pace = sock, Pace(limits)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_PacedReader(self.socket, self.pace), BUFFER)

    def sendall(self, data: bytes) -> None:
        self.pace.begin()
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()


class GuardedConnection(http.client.HTTPConnection):
    """An HTTP connection to one of the addresses that were checked, never to a name.

    Args:
        target: scheme, host and port; the host is what the server's certificate must name.
        addresses: checked addresses, tried in order.
        limits: time limits.
        tls: TLS settings for https.
        proxy: (host, port) of a proxy the user asked for; it is handed the checked address.
    """

    def __init__(
        self,
        target: Target,
        addresses: Sequence[str],
        limits: Limits,
        tls: ssl.SSLContext,
        proxy: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(target.host, target.port)
        self._target, self._addresses, self._limits, self._tls, self._proxy = target, addresses, limits, tls, proxy

    def connect(self) -> None:
        """Open the connection; TLS where the scheme is https."""
        sock = self._open_through_proxy(*self._proxy) if self._proxy else self._open_directly()
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self._limits.connect_seconds)
            if self._target.scheme == "https":
                sock = self._tls.wrap_socket(sock, server_hostname=self._target.host)
        except BaseException:
            sock.close()
            raise
        self.sock: Any = _PacedSocket(sock, self._limits)

    def _open_directly(self) -> socket.socket:
        failure: OSError | None = None
        for address in self._addresses:
            try:
                return socket.create_connection((address, self._target.port), self._limits.connect_seconds)
            except OSError as error:
                failure = error
        raise TransientError(f"cannot connect to {self._target.authority}: {failure}.")

    def _open_through_proxy(self, host: str, port: int) -> socket.socket:
        """Ask the proxy for a tunnel to the first checked address."""
        sock = socket.create_connection((host, port), self._limits.connect_seconds)
        address = f"[{self._addresses[0]}]" if ":" in self._addresses[0] else self._addresses[0]
        sock.sendall(f"CONNECT {address}:{self._target.port} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode("ascii"))
        answer = b""
        while not answer.endswith(b"\r\n\r\n") and len(answer) < 65_536:
            piece = sock.recv(1)
            if not piece:
                break
            answer += piece
        status = answer.split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or status[1] != b"200":
            sock.close()
            shown = answer.split(b"\r\n", 1)[0][:100].decode("latin-1")
            raise TransientError(f"the proxy {host}:{port} opened no tunnel: {shown!r}.")
        return sock
