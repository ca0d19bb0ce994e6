"""Downloads from servers on loopback that misbehave, and from addresses that must not be reached."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from illmrec.errors import DataError
from illmrec.fetching.client import Client
from illmrec.fetching.connection import Limits
from illmrec.fetching.download import download_file
from illmrec.fetching.failures import AnsweredError, RefusedError, TransientError
from illmrec.fetching.retry import Backoff
from illmrec.fetching.urls import Policy
from tests.faulty_server import FaultyServer, answer, in_turn, redirect, reset_after, run_server, send_head, serve

LOCAL = Policy(allow_http=True, private_hosts=frozenset({"127.0.0.1"}))
BODY = bytes(range(256)) * 2000


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with run_server() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def fetch(server: FaultyServer, tmp_path: Path, waits: list[float]):
    def run(name: str = "a.bin", *, limits: Limits | None = None, policy: Policy = LOCAL, **options):
        client = Client(policy, limits)
        backoff = Backoff(attempts=3, sleep=waits.append)
        try:
            return download_file(client, f"{server.url}/{name}", tmp_path / name, backoff=backoff, **options)
        finally:
            client.close()

    return run


def test_a_file_arrives_whole_and_nothing_is_left_beside_it(server: FaultyServer, fetch, tmp_path: Path) -> None:
    server.routes["/a.bin"] = serve(BODY)
    done = fetch(sha256=hashlib.sha256(BODY).hexdigest())
    assert (done.bytes, done.resumed_from, done.already_there) == (len(BODY), 0, False)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert fetch().already_there
    assert len(server.requests) == 1


def test_a_reset_is_continued_where_it_broke(server: FaultyServer, fetch, waits: list[float]) -> None:
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000), reset_after(BODY, 50_000), serve(BODY))
    done = fetch()
    assert done.path.read_bytes() == BODY
    ranges = [headers.get("Range") for _, headers in server.requests]
    assert ranges[0] is None
    positions = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in ranges[1:]]
    assert 0 < positions[0] < positions[1] < len(BODY)
    assert server.requests[1][1]["If-Range"] == '"one"'
    assert len(waits) == 2


def test_a_later_run_goes_on_from_the_part(server: FaultyServer, fetch, tmp_path: Path) -> None:
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 200_000), *[lambda h: answer(h, 503, b"")] * 2, serve(BODY))
    with pytest.raises(TransientError, match="503") as error:
        fetch()
    assert "same command" in error.value.hint
    left = (tmp_path / "a.bin.part").stat().st_size
    assert 0 < left <= 200_000
    done = fetch()
    assert done.resumed_from == left
    assert done.path.read_bytes() == BODY


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: FaultyServer, fetch) -> None:
    other = BODY[::-1] + b"longer"
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000), serve(other, etag='"two"'))
    done = fetch()
    assert done.path.read_bytes() == other
    assert done.resumed_from == 0


def test_a_server_without_ranges_is_asked_for_all_of_it_again(server: FaultyServer, fetch) -> None:
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000), serve(BODY, ranges=False))
    assert fetch().path.read_bytes() == BODY


def test_without_a_validator_nothing_is_continued(server: FaultyServer, fetch) -> None:
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000, etag='W/"weak"'), serve(BODY))
    fetch()
    assert [headers.get("Range") for _, headers in server.requests] == [None, None]


def test_a_part_longer_than_the_file_now_is_thrown_away(server: FaultyServer, fetch, tmp_path: Path) -> None:
    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000), *[lambda h: answer(h, 500, b"")] * 2, serve(b"short"))
    with pytest.raises(TransientError):
        fetch()
    assert fetch().path.read_bytes() == b"short"


def test_another_range_than_asked_for_is_refused(server: FaultyServer, fetch) -> None:
    def lie(handler) -> None:
        send_head(handler, 206, {"Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}", "Content-Length": "5"})
        handler.wfile.write(b"12345")

    server.routes["/a.bin"] = in_turn(reset_after(BODY, 100_000), lie)
    with pytest.raises(RefusedError, match="bytes 5-"):
        fetch()


def test_a_short_body_is_not_a_file(server: FaultyServer, fetch, tmp_path: Path) -> None:
    def cut(handler) -> None:
        send_head(handler, 200, {"Content-Length": "1000", "Connection": "close"})
        handler.wfile.write(b"x" * 400)
        handler.close_connection = True

    server.routes["/a.bin"] = cut
    with pytest.raises(TransientError, match="400 of 1,000 bytes"):
        fetch()
    assert not (tmp_path / "a.bin").exists()


def test_a_broken_off_chunked_body_is_not_a_file(server: FaultyServer, fetch, tmp_path: Path) -> None:
    def cut(handler) -> None:
        send_head(handler, 200, {"Transfer-Encoding": "chunked", "Connection": "close"})
        handler.wfile.write(b"64\r\n" + b"x" * 20)
        handler.close_connection = True

    server.routes["/a.bin"] = cut
    with pytest.raises(TransientError, match="middle of the answer"):
        fetch()
    assert not (tmp_path / "a.bin").exists()


def test_429_is_waited_out_as_asked(server: FaultyServer, fetch, waits: list[float]) -> None:
    server.routes["/a.bin"] = in_turn(lambda h: answer(h, 429, b"", Retry_After="7"), serve(BODY))
    assert fetch().bytes == len(BODY)
    assert waits == [7.0]


def test_500_is_tried_again_and_then_given_up(server: FaultyServer, fetch, waits: list[float]) -> None:
    server.routes["/a.bin"] = lambda h: answer(h, 500, b"")
    with pytest.raises(TransientError, match="500"):
        fetch()
    assert len(server.requests) == 3
    assert len(waits) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_final_answers_are_not_tried_again(server: FaultyServer, fetch, status: int) -> None:
    server.routes["/a.bin"] = lambda h: answer(h, status, b"<html>")
    with pytest.raises(AnsweredError, match=str(status)):
        fetch()
    assert len(server.requests) == 1


def test_a_slow_drip_is_given_up(server: FaultyServer, fetch) -> None:
    server.routes["/a.bin"] = server.drip([b"x"] * 1000, 0.02)
    started = time.monotonic()
    with pytest.raises(TransientError, match="bytes/s"):
        fetch(limits=Limits(min_rate=10_000, rate_window=0.1))
    assert time.monotonic() - started < 3


def test_a_drip_of_headers_runs_into_the_total_limit(tmp_path: Path) -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"X-A: b\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        client = Client(LOCAL, Limits(total_seconds=0.3))
        with (
            pytest.raises(TransientError, match=r"0\.3 s|in time|proper answer"),
            client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/"),
        ):
            pass
        stop.set()
        thread.join()


def test_silence_is_given_up(server: FaultyServer, fetch) -> None:
    server.routes["/a.bin"] = lambda h: server.stopping.wait(5) and None
    with pytest.raises(TransientError, match="in time"):
        fetch(limits=Limits(idle_seconds=0.1))


def test_size_is_capped_announced_or_not(server: FaultyServer, fetch) -> None:
    def endless(handler) -> None:
        send_head(handler, 200, {"Connection": "close"})
        handler.close_connection = True
        while not server.stopping.is_set():
            handler.wfile.write(bytes(65_536))

    server.routes["/a.bin"] = serve(BODY)
    server.routes["/b.bin"] = endless
    for name in ("a.bin", "b.bin"):
        with pytest.raises(RefusedError, match="at most 100,000"):
            fetch(name, limits=Limits(max_bytes=100_000))


def test_a_gzip_bomb_in_the_encoding_is_never_unpacked(server: FaultyServer, fetch) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    server.routes["/a.bin"] = serve(bomb, Content_Encoding="gzip")
    with pytest.raises(RefusedError, match="gzip"):
        fetch()
    server.routes["/b.gz"] = serve(bomb, Content_Encoding="gzip")
    assert fetch("b.gz").bytes == len(bomb)


@pytest.mark.parametrize(
    ("name", "body"),
    [("a.csv", b"\n<!DOCTYPE html><p>moved"), ("a.json.gz", b"<html>sign in"), ("a.zip", b"not a zip"), ("a.csv", b"")],
)
def test_a_web_page_is_not_taken_for_the_file(
    server: FaultyServer, fetch, tmp_path: Path, name: str, body: bytes
) -> None:
    server.routes[f"/{name}"] = serve(body)
    with pytest.raises(RefusedError, match="instead of"):
        fetch(name)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_digest_leaves_nothing_behind(server: FaultyServer, fetch, tmp_path: Path) -> None:
    server.routes["/a.bin"] = serve(BODY)
    with pytest.raises(DataError, match="sha256"):
        fetch(sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    fetch()
    with pytest.raises(DataError, match="sha256"):
        fetch(sha256="0" * 64)
    assert (tmp_path / "a.bin").exists()


def test_a_redirect_loop_ends(server: FaultyServer, fetch) -> None:
    server.routes["/a.bin"] = redirect("/a.bin")
    with pytest.raises(RefusedError, match="more than 5 times"):
        fetch()
    assert len(server.requests) == 6


def test_five_redirects_are_followed(server: FaultyServer, fetch) -> None:
    for step, status in zip(range(5), (301, 302, 303, 307, 308), strict=True):
        server.routes["/a.bin" if step == 0 else f"/{step}"] = redirect(f"/{step + 1}", status)
    server.routes["/5"] = serve(BODY)
    assert fetch().bytes == len(BODY)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://localhost/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://2130706433/",
        "http://user@127.0.0.1/",
        "//0x7f.1/",
    ],
)
def test_a_redirect_to_a_forbidden_place_is_not_followed(
    server: FaultyServer, fetch, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/a.bin"] = redirect(location)
    connected = watch_connections(monkeypatch)
    with pytest.raises(RefusedError):
        fetch()
    assert connected == [("127.0.0.1", server.port)]


def watch_connections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Keep the places that sockets are connected to."""
    connected: list[tuple[str, int]] = []
    real = socket.create_connection

    def connect(address, *rest, **options):
        connected.append(address)
        return real(address, *rest, **options)

    monkeypatch.setattr(socket, "create_connection", connect)
    return connected


FORBIDDEN_URLS = [
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://10.0.0.1/",
    "https://172.16.5.5/",
    "https://192.168.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://0.0.0.0/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001::1]/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
    "https://0177.1/",
    "https://u:p@93.184.216.34/",
    "https://93.184.216.34:22/",
    "https://127。0。0。1/",
    "file:///etc/passwd",
    "ftp://93.184.216.34/a",
    "data:text/plain,hello",
]


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_no_connection_is_ever_opened_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = watch_connections(monkeypatch)
    with pytest.raises(RefusedError), Client(Policy()).get(url):
        pass
    assert connected == []


def test_the_address_that_was_checked_is_the_one_connected_to(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that answers differently the second time (rebinding) gains nothing: it is asked once."""
    server.routes["/a"] = serve(BODY)
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    connected = watch_connections(monkeypatch)
    policy = Policy(allow_http=True, private_hosts=frozenset({"shop.example"}))
    client = Client(policy, resolver=lambda *_: next(answers))
    with client.get(f"http://shop.example:{server.port}/a") as response:
        assert b"".join(response.iterate()) == BODY
    assert connected == [("127.0.0.1", server.port)]
    assert server.requests[0][1]["Host"] == f"shop.example:{server.port}"
    client.close()
    with pytest.raises(RefusedError, match="link-local"), client.get(f"http://shop.example:{server.port}/a"):
        pass
    assert len(connected) == 1


def test_proxies_of_the_environment_are_not_used(server: FaultyServer, fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.routes["/a.bin"] = serve(BODY)
    assert fetch().bytes == len(BODY)


@contextmanager
def run_proxy(answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Iterator[tuple[int, list[bytes]]]:
    """A proxy on loopback that opens tunnels, or answers what it is told; yields its port and what it was asked."""
    asked: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = listener.accept()
                request = inner.recv(4096)
                asked.append(request)
                inner.sendall(answer)
                if b" 200 " not in answer:
                    inner.close()
                    continue
                host, port = request.split(b" ")[1].decode().rsplit(":", 1)
                outer = socket.create_connection((host, int(port)), 5)
                for pair in ((inner, outer), (outer, inner)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.close()


def test_a_proxy_is_handed_the_address_that_was_checked(server: FaultyServer) -> None:
    server.routes["/a"] = serve(BODY)
    policy = Policy(allow_http=True, private_hosts=frozenset({"shop.example"}))
    with run_proxy() as (port, asked):
        client = Client(policy, resolver=lambda *_: ["127.0.0.1"], proxy=("127.0.0.1", port))
        with client.get(f"http://shop.example:{server.port}/a") as response:
            assert b"".join(response.iterate()) == BODY
        client.close()
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
    assert b"shop.example" not in asked[0]
    assert server.requests[0][1]["Host"] == f"shop.example:{server.port}"


def test_a_proxy_is_no_way_around_the_guard() -> None:
    with run_proxy() as (port, asked):
        client = Client(Policy(allow_http=True), resolver=lambda *_: ["127.0.0.1"], proxy=("127.0.0.1", port))
        with pytest.raises(RefusedError, match="loopback"), client.get("http://shop.example/a"):
            pass
        client.close()
    assert asked == []


def test_a_proxy_that_opens_no_tunnel_is_named(server: FaultyServer) -> None:
    with run_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as (port, _):
        client = Client(LOCAL, proxy=("127.0.0.1", port))
        with (
            pytest.raises(TransientError, match=f"proxy 127.0.0.1:{port} opened no tunnel.*407"),
            client.get(server.url),
        ):
            pass
        client.close()


def test_credentials_stay_with_the_host_they_are_for(server: FaultyServer, fetch) -> None:
    with run_server() as other:
        other.routes["/a.bin"] = serve(BODY)
        server.routes["/a.bin"] = redirect("/b.bin")
        server.routes["/b.bin"] = redirect(f"{other.url}/a.bin")
        fetch(authorization="Basic c2VjcmV0")
    assert [headers.get("Authorization") for _, headers in server.requests] == ["Basic c2VjcmV0"] * 2
    assert [headers.get("Authorization") for _, headers in other.requests] == [None]


def test_a_connection_is_used_again_and_a_dead_one_replaced(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/a"] = serve(b"abc")
    server.routes["/last"] = lambda h: (answer(h, 200, b"abc"), h.connection.shutdown(socket.SHUT_RDWR))
    connected = watch_connections(monkeypatch)
    client = Client(LOCAL)
    for path in ("/a", "/a", "/last", "/a"):
        with client.get(server.url + path) as response:
            assert b"".join(response.iterate()) == b"abc"
    client.close()
    assert len(connected) == 2


@pytest.mark.parametrize(
    "garbage", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500]
)
def test_what_is_no_proper_answer_is_said(garbage: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(garbage)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(TransientError), Client(LOCAL).get(f"http://127.0.0.1:{listener.getsockname()[1]}/"):
            pass
        thread.join()


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    cryptography = pytest.importorskip("cryptography", reason="makes a certificate for the test")
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    assert cryptography
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_https_checks_the_certificate_against_the_name_not_the_address(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "shop.example")
    with run_server() as server:
        server.routes["/a"] = serve(BODY)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
        hosts = frozenset({"shop.example", "other.example"})
        trusting = Client(
            Policy(private_hosts=hosts),
            resolver=lambda *_: ["127.0.0.1"],
            tls=ssl.create_default_context(cafile=str(certificate)),
        )
        with trusting.get(f"https://shop.example:{server.port}/a") as response:
            assert b"".join(response.iterate()) == BODY
        with pytest.raises(RefusedError, match="certificate"), trusting.get(f"https://other.example:{server.port}/a"):
            pass
        trusting.close()
        plain = Client(Policy(private_hosts=hosts), resolver=lambda *_: ["127.0.0.1"])
        with pytest.raises(RefusedError, match="certificate"), plain.get(f"https://shop.example:{server.port}/a"):
            pass


def test_a_full_disk_is_said_before_anything_is_written(
    server: FaultyServer, fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/a.bin"] = serve(BODY)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(DataError, match="1,000 are free"):
        fetch()
    assert not (tmp_path / "a.bin.part").exists()
