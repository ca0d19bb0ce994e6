"""Catalog pictures from servers on loopback: what each answer becomes, second runs, kills."""

from __future__ import annotations

import collections
import gzip
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from illmrec.data.files.picture_files import list_pictures
from illmrec.data.images import probe_images
from illmrec.data.shards import ShardStore, read_index
from illmrec.fetching.client import Client
from illmrec.fetching.connection import Limits
from illmrec.fetching.picture_urls import WantedPicture
from illmrec.fetching.pictures import PictureRules, fetch_pictures, select_missing
from illmrec.fetching.retry import Backoff
from illmrec.fetching.urls import Policy
from pipelines import cli
from pipelines.parameters.reading import STAGES
from tests.faulty_server import FaultyServer, answer, in_turn, redirect, reset_after, run_server, serve
from tests.golden_schemas import compare_output

LOCAL = Policy(allow_http=True, private_hosts=frozenset({"127.0.0.1"}))
NOTHING_TO_DO = 6


def make_picture(number: int = 0, size: tuple[int, int] = (40, 30), form: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 99)).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with run_server() as running:
        yield running


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "images"


def want(server: FaultyServer, *names: str) -> list[WantedPicture]:
    return [WantedPicture(name, 0, f"{server.url}/{name}") for name in names]


def fetch(images: Path, wanted: list[WantedPicture], *, again: tuple[str, ...] = ("failed",), **options) -> dict:
    rules = PictureRules(**{"max_pixels": 1_000_000, "connections": 4} | options)
    client = Client(LOCAL, Limits(total_seconds=2, idle_seconds=0.3, min_rate=1000, rate_window=0.2, max_bytes=100_000))
    store = ShardStore(images)
    backoff = Backoff(attempts=2, sleep=lambda _: None)
    try:
        missing = select_missing(wanted, store, again)
        return fetch_pictures(missing, store, client, rules, backoff=backoff, clock=lambda: 1234.9)
    finally:
        store.close()
        client.close()


def read_row(images: Path, item: str) -> dict:
    return next(row for row in read_index(images).iter_rows(named=True) if row["item_id"] == item)


def test_a_good_picture_is_kept_with_all_its_facts(server: FaultyServer, images: Path) -> None:
    content = make_picture()
    server.routes["/good"] = serve(content)
    assert fetch(images, want(server, "good")) == {"ok": 1}
    row = read_row(images, "good")
    digest = hashlib.sha256(content).hexdigest()
    assert (row["status"], row["sha256"], row["width"], row["height"]) == ("ok", digest, 40, 30)
    assert (row["bytes"], row["url"], row["fetched_at"]) == (len(content), f"{server.url}/good", 1234)
    reference = list_pictures(images)["good"]
    probe = next(probe_images(images.parent, [f"images/{reference}"], 1_000_000))
    assert (probe.status, probe.sha256) == ("ok", digest)


BAD = {
    "gone": (lambda h: answer(h, 404, b""), "dead", "404"),
    "gone for good": (lambda h: answer(h, 410, b""), "dead", "410"),
    "forbidden": (lambda h: answer(h, 403, b""), "refused", "403"),
    "page": (serve(b"<html>sign in</html>", Content_Type="text/html"), "broken", "text/html"),
    "half": (serve(make_picture(size=(200, 200))[:700]), "broken", "truncated"),
    "empty": (serve(b""), "broken", "JPEG"),
    "text": (serve(b"hello", Content_Type="image/jpeg"), "broken", "image/jpeg"),
    "svg": (serve(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), "broken", "JPEG"),
    "pixel": (serve(make_picture(size=(1, 1), form="GIF")), "placeholder", "1 x 1"),
    "huge picture": (serve(make_picture(size=(1200, 1000))), "refused", "pixels"),
    "huge file": (serve(make_picture() + bytes(200_000)), "refused", "at most 100,000"),
    "gzip bomb": (serve(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip"), "broken", "not one of"),
    "loop": (redirect("/loop"), "refused", "redirects more than"),
    "inward": (redirect("http://169.254.169.254/latest/"), "refused", "link-local"),
    "to a file": (redirect("file:///etc/passwd"), "refused", "scheme"),
    "broken server": (lambda h: answer(h, 500, b""), "failed", "500"),
    "busy": (lambda h: answer(h, 429, b"", Retry_After="9999"), "failed", "429"),
    "reset": (reset_after(make_picture(), 100), "failed", "connection|ended"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_bad_answer_is_recorded_with_its_reason(server: FaultyServer, images: Path, name: str) -> None:
    route, status, reason = BAD[name]
    path = "/" + name.replace(" ", "-")
    server.routes[path] = route
    server.routes["/good"] = serve(make_picture())
    wanted = [WantedPicture(name, 0, server.url + path), *want(server, "good")]
    assert fetch(images, wanted) == dict(sorted({status: 1, "ok": 1}.items()))
    row = read_row(images, name)
    assert row["status"] == status
    assert re.search(reason, row["reason"])
    assert row["shard"] is None
    assert sorted(list_pictures(images)) == ["good"]


def test_a_slow_drip_and_silence_are_failures_that_pass(server: FaultyServer, images: Path) -> None:
    server.routes["/drip"] = server.drip([b"x"] * 500, 0.05)
    server.routes["/silent"] = lambda h: server.stopping.wait(5) and None
    assert fetch(images, want(server, "drip", "silent")) == {"failed": 2}


def test_addresses_that_must_not_be_asked_are_refused_without_a_request(server: FaultyServer, images: Path) -> None:
    urls = ["file:///etc/passwd", "http://localhost/", "http://10.0.0.1/", "http://[::1", "javascript:alert(1)", "x"]
    wanted = [WantedPicture(f"i{n}", 0, url) for n, url in enumerate(urls)]
    assert fetch(images, wanted) == {"refused": len(urls)}
    assert server.requests == []


def test_a_second_run_asks_only_for_what_failed_in_passing_or_is_new(server: FaultyServer, images: Path) -> None:
    server.routes["/a"] = serve(make_picture(1))
    server.routes["/b"] = in_turn(*[lambda h: answer(h, 503, b"")] * 2, serve(make_picture(2)))
    server.routes["/e"] = serve(make_picture(3))
    assert fetch(images, want(server, "a", "b", "dead")) == {"dead": 1, "failed": 1, "ok": 1}
    server.requests.clear()
    assert fetch(images, want(server, "a", "b", "dead", "e")) == {"ok": 2}
    assert sorted(server.paths()) == ["/b", "/e"]
    server.requests.clear()
    assert fetch(images, want(server, "a", "b", "dead", "e"), again=("failed", "dead")) == {"dead": 1}
    assert server.paths() == ["/dead"]


def test_a_changed_address_is_fetched(server: FaultyServer, images: Path) -> None:
    server.routes["/a"], server.routes["/new"] = serve(make_picture(1)), serve(make_picture(2))
    fetch(images, want(server, "a"))
    assert fetch(images, [WantedPicture("a", 0, f"{server.url}/new")]) == {"ok": 1}
    assert read_row(images, "a")["sha256"] == hashlib.sha256(make_picture(2)).hexdigest()


def test_placeholders_are_known_by_digest_and_by_how_many_items_show_them(server: FaultyServer, images: Path) -> None:
    known = frozenset({hashlib.sha256(make_picture(7)).hexdigest()})
    server.routes["/known"] = serve(make_picture(7))
    names = [f"same{n}" for n in range(5)]
    for name in names:
        server.routes[f"/{name}"] = serve(make_picture(8))
    fetch(images, want(server, "known", *names[:3]), max_items=3, placeholders=known)
    assert read_row(images, "known")["reason"] == "a known placeholder"
    assert len(list_pictures(images)) == 3
    fetch(images, want(server, *names), max_items=3)
    index = read_index(images)
    assert index["status"].to_list() == ["placeholder"] * 6
    assert "more than 3 items" in read_row(images, "same0")["reason"]
    assert list_pictures(images) == {}


def test_no_host_gets_more_connections_than_its_share(images: Path) -> None:
    running: collections.Counter[int] = collections.Counter()
    peaks: collections.Counter[int] = collections.Counter()
    lock = threading.Lock()

    def slow(handler) -> None:
        port = handler.server.server_address[1]
        with lock:
            running[port] += 1
            peaks[port] = max(peaks[port], running[port])
        time.sleep(0.03)
        with lock:
            running[port] -= 1
        answer(handler, 200, make_picture())

    with run_server() as one, run_server() as two:
        wanted = []
        for server, count in ((one, 12), (two, 3)):
            for n in range(count):
                server.routes[f"/{n}"] = slow
                wanted.append(WantedPicture(f"{server.port}-{n}", 0, f"{server.url}/{n}"))
        counts = fetch(images, wanted, connections=8, per_host=2, max_items=1000)
    assert counts == {"ok": 15}
    # Both servers are one host, 127.0.0.1.
    assert sum(peaks.values()) <= 4
    assert max(peaks.values()) == 2


def test_a_host_that_only_fails_is_left_alone(server: FaultyServer, images: Path) -> None:
    counts = {"failed": 0, "postponed": 0}
    for n in range(40):
        server.routes[f"/{n}"] = lambda h: answer(h, 500, b"")
    counts = fetch(images, want(server, *map(str, range(40))), give_up_after=5, per_host=1)
    assert counts == {"failed": 5, "postponed": 35}
    assert read_index(images).height == 5


class Project:
    """A project folder with one own catalog whose pictures lie on a server."""

    def __init__(self, root: Path, server: FaultyServer, pictures: int) -> None:
        self.root, self.images = root, root / "raw" / "images"
        (root / "raw").mkdir()
        sections = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "raw"}}
        (root / "params.yaml").write_text(json.dumps({"datasets": {"d": sections}}))
        rows = "".join(f"i{n},http://catalog.example/{n}.jpg?v=1\n" for n in range(pictures))
        (root / "raw" / "image_urls.csv").write_text("item_id,url\n" + rows)
        network = ["--mirror", server.url, "--allow-http", "--allow-private", "127.0.0.1"]
        self.command = ["--root", str(root), "fetch", "images", "--dataset", "d", "--all-items", "--json", *network]


def run_command(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["illmrec", *arguments])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    compare_output(arguments, printed.out)
    return code, printed.out, printed.err


def test_the_command_fetches_counts_and_then_has_nothing_to_do(
    server: FaultyServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, server, 3)
    for n in range(2):
        server.routes[f"/{n}.jpg"] = serve(make_picture(n))
    code, out, _ = run_command(project.command, capsys, monkeypatch)
    assert code == 0
    assert json.loads(out) == {
        "offered": 3, "asked_for": 3, "ok": 2, "dead": 1, "index_ok": 2, "index_dead": 1
    }  # fmt: skip
    assert read_row(project.images, "i0")["url"] == "http://catalog.example/0.jpg?v=1"
    code, out, err = run_command(project.command, capsys, monkeypatch)
    assert (code, out) == (NOTHING_TO_DO, "")
    assert "all 3 pictures" in err


@pytest.mark.parametrize("pause", [0.3, 0.7])
def test_a_killed_run_leaves_a_sound_index_and_the_next_one_completes_it(
    server: FaultyServer,
    tmp_path: Path,
    pause: float,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = Project(tmp_path, server, 200)
    enough = threading.Event()

    def slow(handler) -> None:
        if len(server.requests) > 200 * pause:
            enough.set()
        time.sleep(0.002)
        number = int(handler.path.removeprefix("/").partition(".")[0])
        answer(handler, 200, make_picture(number, size=(40 + number % 7, 30)))

    for n in range(200):
        server.routes[f"/{n}.jpg"] = slow
    code = (
        "import illmrec.data.shards as s; s.ShardStore.__init__.__kwdefaults__['min_batch'] = 20; "
        "s.ShardStore.__init__.__kwdefaults__['max_pictures'] = 30; from pipelines.cli import main; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *project.command], stdout=subprocess.DEVNULL)
    try:
        assert enough.wait(30)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    saved = read_index(project.images).height
    assert saved >= 200 * pause - 20 - 20
    assert probe_all_ok(project)
    code, out, _ = run_command(project.command, capsys, monkeypatch)
    assert code == 0
    assert json.loads(out)["asked_for"] == 200 - saved
    assert len(list_pictures(project.images)) == 200
    assert probe_all_ok(project)
    for shard in (project.images / "shards").iterdir():
        with tarfile.open(shard) as archive:
            assert archive.getnames()


def probe_all_ok(project: Project) -> bool:
    references = [f"images/{reference}" for reference in list_pictures(project.images).values()]
    return {probe.status for probe in probe_images(project.root / "raw", references, 1_000_000)} <= {"ok"}
