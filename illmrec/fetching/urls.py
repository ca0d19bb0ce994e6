"""Which addresses may be asked at all, judged by their text before any name is looked up.

Catalogs are written by strangers, so an address is refused unless it is plainly an ordinary web address. The two
commonest tricks are spellings that different programs read differently; hence one strict reading and no repair beyond
percent-encoding the path.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from illmrec.fetching.failures import RefusedError

MAX_LENGTH = 4096
DEFAULT_PORTS = {"https": 443, "http": 80}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT = "/:@!$&'()*+,;=~-._%"  # everything a path may hold as it is, escapes already made included


@dataclass(frozen=True)
class Policy:
    """What the user allows beyond https on its own port to public addresses.

    Attributes:
        allow_http: whether unencrypted addresses are taken.
        private_hosts: names or addresses, such as a mirror's, that may be private and on any port.
        endpoints: further (host, port) pairs that the user named.
    """

    allow_http: bool = False
    private_hosts: frozenset[str] = frozenset()
    endpoints: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Target:
    """One address, taken apart.

    Attributes:
        scheme: ``https`` or ``http``.
        host: lower case; an IPv6 address without brackets.
        port: TCP port.
        path: path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """What may share a connection and credentials."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own, as the header ``Host`` has them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as text."""
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(text: str, policy: Policy) -> Target:
    """Take an address apart.

    Raises:
        RefusedError: when it is not an ordinary web address, or one that ``policy`` does not allow.
    """
    if len(text) > MAX_LENGTH:
        raise RefusedError(f"the address has {len(text):,} characters, at most {MAX_LENGTH:,} are allowed.")
    text = text.strip(" ")
    if _CONTROL.search(text):
        raise _refuse(text, "it holds a control character or a backslash")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refuse(text, str(error)) from None
    scheme = parts.scheme
    if scheme not in DEFAULT_PORTS:
        raise _refuse(text, f"the scheme is {scheme!r}, expected 'https'")
    if scheme == "http" and not policy.allow_http:
        raise _refuse(text, "it is not encrypted", "Use its https:// form, or add --allow-http for a mirror you trust.")
    if "@" in parts.netloc:
        raise _refuse(text.replace(parts.netloc, "..."), "it holds a user name or password")
    host = _check_host(text, parts.netloc)
    port = DEFAULT_PORTS[scheme] if port is None else port
    _check_port(text, scheme, host, port, policy)
    path = quote(parts.path or "/", safe=_KEPT) + (f"?{quote(parts.query, safe=_KEPT + '?')}" if parts.query else "")
    return Target(scheme, host, port, path if path.startswith("/") else f"/{path}")


def follow_redirect(base: Target, location: str, policy: Policy) -> Target:
    """Return where a redirect leads.

    Raises:
        RefusedError: as :func:`parse_url`, and when it leads from https to http.
    """
    if _CONTROL.search(location):
        raise _refuse(base.url, "it redirects to an address with control characters")
    target = parse_url(urljoin(base.url, location.strip(" ")), policy)
    if base.scheme == "https" and target.scheme == "http":
        raise _refuse(base.url, f"it redirects to {target.url}, which is not encrypted")
    return target


def read_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a host is written as; None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_host(text: str, netloc: str) -> str:
    if netloc.startswith("["):
        host = netloc[1 : netloc.find("]")].lower()
        if "%" in host or not isinstance(read_address(host), ipaddress.IPv6Address):
            raise _refuse(text, "it holds no plain IPv6 address between its brackets")
        return host
    host = netloc.rpartition(":")[0] if ":" in netloc else netloc
    if not host.isascii():
        raise _refuse(text, "the host is not plain ASCII", "Write an international name in its xn-- form.")
    host = host.lower()
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refuse(text, f"{host!r} is no host name")
    # Programs disagree about 0x7f.1, 2130706433 and 0177.0.0.1: only four plain decimal numbers are an address.
    if _NUMERIC.fullmatch(labels[-1]) and not isinstance(read_address(host), ipaddress.IPv4Address):
        raise _refuse(text, f"{host!r} is an unusual spelling of an IPv4 address")
    return host


def _check_port(text: str, scheme: str, host: str, port: int, policy: Policy) -> None:
    if port == DEFAULT_PORTS[scheme] or host in policy.private_hosts or (host, port) in policy.endpoints:
        return
    raise _refuse(text, f"the port is {port}, expected {DEFAULT_PORTS[scheme]}")


def _refuse(text: str, reason: str, hint: str = "") -> RefusedError:
    return RefusedError(f"refused the address {text[:200]!r}: {reason}.", hint=hint)
