"""``illmrec fetch``: what lies in the raw folder afterwards, exit codes, messages."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import cli
from tests.faulty_server import FaultyServer, answer, run_server, serve
from tests.golden_schemas import compare_output

USAGE, DATA, NOTHING_TO_DO = 2, 3, 6
REVIEWS = gzip.compress(b'{"reviewerID": "A", "asin": "B", "unixReviewTime": 1}\n')


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with run_server() as running:
        yield running


@pytest.fixture
def fetch(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str, mirror: str | None = None) -> Result:
        network = ["--mirror", mirror or server.url, "--allow-http", "--allow-private", "127.0.0.1", "--json"]
        monkeypatch.setattr(sys, "argv", ["illmrec", "--root", str(tmp_path), "fetch", *arguments, *network])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        compare_output(sys.argv[1:], printed.out)
        return Result(code, printed.out, printed.err)

    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    monkeypatch.delenv("KAGGLE_KEY", raising=False)
    return run


def make_zip(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_csv", ".csv"), content)
    return buffer.getvalue()


def serve_amazon(server: FaultyServer) -> None:
    server.routes["/categoryFilesSmall/Video_Games_5.json.gz"] = serve(REVIEWS)
    server.routes["/metaFiles2/meta_Video_Games.json.gz"] = serve(REVIEWS)


def test_amazon_brings_reviews_and_metadata_and_then_has_nothing_to_do(
    server: FaultyServer, fetch, tmp_path: Path
) -> None:
    serve_amazon(server)
    result = fetch("amazon", "--category", "Video_Games")
    folder = tmp_path / "data" / "video-games"
    assert result.code == 0
    assert sorted(p.name for p in folder.iterdir()) == ["Video_Games_5.json.gz", "meta_Video_Games.json.gz"]
    facts = json.loads(result.out)
    assert (facts["fetched"], facts["bytes"]) == (2, 2 * len(REVIEWS))
    assert len(facts["sha256 of Video_Games_5.json.gz"]) == 64
    again = fetch("amazon", "--category", "Video_Games")
    assert (again.code, again.out) == (NOTHING_TO_DO, "")
    assert len(server.requests) == 2


def test_a_missing_file_of_the_publisher_is_said_with_its_address(server: FaultyServer, fetch, tmp_path: Path) -> None:
    serve_amazon(server)
    del server.routes["/metaFiles2/meta_Video_Games.json.gz"]
    result = fetch("amazon", "--category", "Video_Games", "--folder", "data/games")
    assert (result.code, result.out) == (DATA, "")
    assert "meta_Video_Games.json.gz answered 404" in result.err
    assert (tmp_path / "data" / "games" / "Video_Games_5.json.gz").is_file()


def test_goodbooks_brings_its_tables(server: FaultyServer, fetch, tmp_path: Path) -> None:
    for name in ("ratings", "books", "tags", "book_tags"):
        server.routes[f"/{name}.csv"] = serve(b"a,b\n1,2\n")
    assert fetch("goodbooks").code == 0
    assert len(list((tmp_path / "data" / "goodbooks").iterdir())) == 4


def test_microlens_unpacks_covers_where_the_reader_looks(server: FaultyServer, fetch, tmp_path: Path) -> None:
    from illmrec.data.readers.microlens import read_microlens

    base = "/MicroLens-50k-Dataset/MicroLens-50k"
    server.routes[f"{base}_pairs.csv"] = serve(b"user,item,timestamp\n1,7,1500000000000\n")
    server.routes[f"{base}_titles.csv"] = serve(b"item,title\n7,Seven\n")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("MicroLens-50k_covers/7.jpg", b"picture")
    server.routes[f"{base}_covers.zip"] = serve(buffer.getvalue())
    assert fetch("microlens", "--variant", "50k").code == 0
    folder = tmp_path / "data" / "microlens-50k"
    assert not list(folder.glob("*.zip*"))
    assert read_microlens(folder, pictures="cover").pictures["item_id"].to_list() == ["7"]
    assert fetch("microlens", "--variant", "50k").code == NOTHING_TO_DO


def test_hm_is_unpacked_from_the_users_archive(fetch, tmp_path: Path) -> None:
    (tmp_path / "hm.zip").write_bytes(make_zip(transactions_train_csv=b"t", articles_csv=b"a", images__010__x=b"i"))
    result = fetch("hm", "--archive", str(tmp_path / "hm.zip"))
    assert result.code == 0
    assert json.loads(result.out)["files"] == 3
    assert (tmp_path / "data" / "hm-full" / "images" / "010" / "x").read_bytes() == b"i"
    assert (tmp_path / "hm.zip").exists()
    assert fetch("hm", "--archive", str(tmp_path / "hm.zip")).code == NOTHING_TO_DO


def test_hm_without_credentials_explains_the_terms(fetch, server: FaultyServer) -> None:
    result = fetch("hm")
    assert result.code == USAGE
    assert "KAGGLE_KEY" in result.err
    assert "/rules" in result.err
    assert "--archive" in result.err
    assert server.requests == []


def test_hm_with_credentials_sends_them_and_writes_them_nowhere(
    fetch, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "verysecret")
    server.routes["/hm"] = serve(make_zip(transactions_train_csv=b"t"))
    result = fetch("hm", mirror=f"{server.url}/hm")
    assert result.code == 0
    sent = server.requests[0][1]["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"someone:verysecret"
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"verysecret" not in written
    assert "verysecret" not in result.out + result.err
    assert not list((tmp_path / "work" / "downloads").iterdir())


def test_hm_refused_by_kaggle_names_the_rules(fetch, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "verysecret")
    server.routes["/hm"] = lambda h: answer(h, 403, b"")
    result = fetch("hm", mirror=f"{server.url}/hm")
    assert result.code == DATA
    assert "accept the rules at https://www.kaggle.com" in result.err


def test_the_synthetic_sample_is_never_mixed_with_real_files(fetch, tmp_path: Path, server: FaultyServer) -> None:
    (tmp_path / "data" / "amazon").mkdir(parents=True)
    (tmp_path / "data" / "amazon" / "SYNTHETIC.md").touch()
    result = fetch("amazon", "--category", "Video_Games", "--folder", "data/amazon")
    assert result.code == DATA
    assert "--folder" in result.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["amazon", "--category", "Sports"], "Sports_and_Outdoors"),
        (["amazon", "--category", "Video_Games", "--sha256", "x"], "NAME=HEX"),
        (["amazon", "--category", "Video_Games", "--sha256", f"other.gz={'0' * 64}"], "'other.gz'"),
        (["microlens", "--variant", "2m"], "50k"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(
    fetch, server: FaultyServer, arguments: list[str], said: str
) -> None:
    result = fetch(*arguments)
    assert result.code == USAGE
    assert said in result.err
    assert server.requests == []


def test_a_mirror_that_is_no_address_is_refused(fetch) -> None:
    result = fetch("goodbooks", mirror="mirror.example/books")
    assert result.code == USAGE
    assert "--mirror" in result.err


def test_a_wrong_digest_stops_the_command(fetch, server: FaultyServer, tmp_path: Path) -> None:
    serve_amazon(server)
    result = fetch("amazon", "--category", "Video_Games", "--sha256", f"Video_Games_5.json.gz={'0' * 64}")
    assert result.code == DATA
    assert "sha256" in result.err
    assert not list((tmp_path / "data" / "video-games").iterdir())
