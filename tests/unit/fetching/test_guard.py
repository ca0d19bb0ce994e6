from __future__ import annotations

import pytest

from illmrec.fetching.failures import RefusedError, TransientError
from illmrec.fetching.guard import judge_address, look_up, resolve
from illmrec.fetching.urls import Policy, parse_url

FORBIDDEN = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "3fff::1",
]

PUBLIC = [
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:2800:220:1::1",
    "64:ff9b::93.184.216.34",
    "2002:5db8:d822::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_connection_to(address: str) -> None:
    assert judge_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_let_through(address: str) -> None:
    assert judge_address(address) == ""


def test_a_private_mirror_may_be_allowed_but_never_the_clouds_metadata() -> None:
    for address in ("127.0.0.1", "10.0.0.5", "192.168.0.9", "::1", "fd12::1"):
        assert judge_address(address, allow_private=True) == ""
    for address in ("169.254.169.254", "fd00:ec2::254", "fe80::1", "224.0.0.1", "0.0.0.0", "::ffff:169.254.169.254"):
        assert judge_address(address, allow_private=True)


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    target = parse_url("https://shop.example/a.jpg", Policy())
    assert resolve(target, Policy(), lambda *_: ["93.184.216.34"]) == ["93.184.216.34"]
    with pytest.raises(RefusedError, match=r"10\.0\.0\.1 is private") as error:
        resolve(target, Policy(), lambda *_: ["93.184.216.34", "10.0.0.1"])
    assert "--allow-private shop.example" in error.value.hint


def test_an_address_is_judged_without_being_looked_up() -> None:
    def refuse(*_: object) -> list[str]:
        raise AssertionError

    with pytest.raises(RefusedError, match="loopback"):
        resolve(parse_url("https://127.0.0.1/", Policy()), Policy(), refuse)


def test_a_name_without_an_address_may_be_tried_again() -> None:
    with pytest.raises(TransientError, match="no address"):
        resolve(parse_url("https://shop.example/", Policy()), Policy(), lambda *_: [])


def test_the_systems_resolver_knows_localhost() -> None:
    assert set(look_up("localhost", 80)) <= {"127.0.0.1", "::1"}
