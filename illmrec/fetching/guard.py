"""Which machines may be connected to: public ones, checked by the addresses that will really be used.

A name is resolved once, every address it has is judged, and the connection is made to one of those very addresses, so
that a second, different answer of the name server (rebinding) has no effect. The same happens again on every redirect.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from illmrec.fetching.failures import RefusedError, TransientError
from illmrec.fetching.urls import Policy, Target, read_address

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], list[str]]

_NEVER = {
    "link-local": ["169.254.0.0/16", "fe80::/10"],
    "multicast": ["224.0.0.0/4", "ff00::/8"],
    "unspecified": ["0.0.0.0/8", "::/128"],
    "a cloud's internal service": ["168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::/32"],
    "reserved": ["240.0.0.0/4"],
}
"""Refused even for hosts that the user declared private: cloud metadata live here, mirrors do not."""

_NOT_PUBLIC = {
    "loopback": ["127.0.0.0/8", "::1/128"],
    "private": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"],
    "shared by a provider's customers": ["100.64.0.0/10"],
    "reserved": [
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001::/23",  # Teredo included
        "2001:db8::/32",
        "3fff::/20",
    ],
}

_PUBLIC_V6 = ipaddress.ip_network("2000::/3")
_MAPPED = ipaddress.ip_network("::ffff:0:0/96")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_6TO4 = ipaddress.ip_network("2002::/16")


def _read_networks(table: dict[str, list[str]]) -> list[tuple[str, ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    return [(kind, ipaddress.ip_network(text)) for kind, texts in table.items() for text in texts]


_NEVER_NETWORKS = _read_networks(_NEVER)
_NOT_PUBLIC_NETWORKS = _read_networks(_NOT_PUBLIC)


def judge_address(text: str, *, allow_private: bool = False) -> str:
    """Return why an address may not be connected to; an empty string when it may.

    Args:
        text: a numeric IPv4 or IPv6 address.
        allow_private: whether loopback and private addresses are let through.
    """
    address = _unwrap(ipaddress.ip_address(text))
    for kind, network in _NEVER_NETWORKS:
        if address in network:
            return kind
    if allow_private:
        return ""
    for kind, network in _NOT_PUBLIC_NETWORKS:
        if address in network:
            return kind
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
        return "not a public IPv6 address"
    return ""


def resolve(target: Target, policy: Policy, resolver: Resolver | None = None) -> list[str]:
    """Return the addresses of a host, all of them judged.

    Args:
        target: whose host is looked up; an address stands for itself.
        policy: names the hosts that may be private.
        resolver: looks up (host, port); the system's when None.

    Raises:
        RefusedError: when one of the addresses may not be connected to.
        TransientError: when the name cannot be looked up.
    """
    host = target.host
    addresses = [host] if read_address(host) else (resolver or look_up)(host, target.port)
    if not addresses:
        raise TransientError(f"the host {host!r} has no address.")
    for address in addresses:
        reason = judge_address(address, allow_private=host in policy.private_hosts)
        if reason:
            hint = f"If this is a mirror of yours, add --allow-private {host}."
            raise RefusedError(f"refused to connect to {host!r}: its address {address} is {reason}.", hint=hint)
    return addresses


def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver; return each address once, in its order of preference.

    Raises:
        TransientError: when the name is unknown or no name server answers.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        hint = "Check the name and the connection to the network, then run the same command again."
        raise TransientError(f"the host {host!r} cannot be looked up: {error}.", hint=hint) from None
    return list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))


def _unwrap(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address that carries one."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address in _MAPPED or address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4:
        return ipaddress.IPv4Address(int(address) >> 80 & 0xFFFF_FFFF)
    return address
