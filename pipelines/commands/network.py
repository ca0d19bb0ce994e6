"""What all download commands share: the options about the network, and the client made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from illmrec.errors import DataError, ParameterError
from illmrec.samples.notice import is_synthetic
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock

if TYPE_CHECKING:
    from illmrec.fetching.client import Client
    from illmrec.fetching.connection import Limits

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class NetworkOptions:
    """The user's answers about the network.

    Attributes:
        mirror: base address in place of the publisher's; empty for the publisher's own.
        allow_http: whether unencrypted addresses are taken.
        allow_private: hosts that may have private addresses and any port.
        proxy: ``http://HOST:PORT``; empty for none, whatever the environment says.
    """

    mirror: str
    allow_http: bool
    allow_private: tuple[str, ...]
    proxy: str

    def rewrite(self, url: str) -> str:
        """Return the mirror's address of a file: the same path below the mirror's base."""
        if not self.mirror:
            return url
        try:
            parts = urlsplit(url)
        except ValueError:
            return url  # refused in a moment, with a reason
        return self.mirror.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")

    @contextmanager
    def connect(self, limits: Limits) -> Iterator[Client]:
        """Yield a client that allows what the user allows.

        Raises:
            ParameterError: when the mirror or the proxy is no address.
        """
        from illmrec.fetching.client import Client
        from illmrec.fetching.urls import Policy

        endpoints = {_read_endpoint(self.mirror, "--mirror")} if self.mirror else set()
        policy = Policy(self.allow_http, frozenset(host.lower() for host in self.allow_private), frozenset(endpoints))
        client = Client(policy, limits, proxy=_read_endpoint(self.proxy, "--proxy") if self.proxy else None)
        try:
            yield client
        finally:
            client.close()


def network_options(function: Function) -> Function:
    """Add the options of :class:`NetworkOptions`."""
    options = [
        click.option("--mirror", default="", help="Base address to use in place of the publisher's."),
        click.option("--allow-http", is_flag=True, help="Take unencrypted addresses too."),
        click.option("--allow-private", multiple=True, metavar="HOST", help="Host that may be on a private network."),
        click.option("--proxy", default="", metavar="URL", help="Proxy to use; the environment's are not used."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@contextmanager
def hold_folder(root: Path, folder: Path) -> Iterator[None]:
    """Keep other downloads away from a raw folder.

    Raises:
        LockedError: when one is under way.
        DataError: when the folder holds the synthetic sample.
    """
    if is_synthetic(folder):
        hint = "Choose another --folder: the sample and real files do not mix."
        raise DataError("holds the synthetic sample.", path=folder, hint=hint)
    with hold_lock(Layout(root, "all").lock(f"fetch-{folder.name}")):
        yield


def _read_endpoint(url: str, option: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ParameterError(f"{option} is {url!r}: {error}.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ParameterError(f"{option} is {url!r}, expected http(s)://HOST[:PORT].")
    return host, port or (443 if parts.scheme == "https" else 80)
