"""Bad raw files through the command line: one message, the right exit code, never a traceback."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines import cli
from pipelines.parameters.reading import STAGES

DATA_REFUSED = 3


@dataclass
class Result:
    code: int
    out: str
    err: str


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run ``illmrec prepare`` on ``tmp_path/raw`` through the console script's function."""

    def run(layout: str, **options: object) -> Result:
        sections = {stage: {} for stage in STAGES} | {"prepare": {"format": layout, "folder": "raw"} | options}
        (tmp_path / "params.yaml").write_text(json.dumps({"datasets": {"d": sections}}))
        monkeypatch.setattr(sys, "argv", ["illmrec", "--root", str(tmp_path), "prepare", "--dataset", "d", "--json"])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def review(user: int, item: int) -> str:
    return json.dumps({"reviewerID": f"A{user}", "asin": f"B{item}", "unixReviewTime": 1_500_000_000 + user})


def write_reviews(raw: Path, extra: list[str]) -> Path:
    path = raw / "Home_5.json.gz"
    lines = [review(user, item) for user in range(12) for item in range(12)] + extra
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def write_own(raw: Path) -> None:
    rows = "".join(f"u{u},i{i},{i}\n" for u in range(6) for i in range(6))
    (raw / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)


def assert_refused(result: Result, *parts: str) -> None:
    assert result.code == DATA_REFUSED
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err


def test_missing_folder(prepare, tmp_path: Path) -> None:
    assert_refused(prepare("amazon"), str(tmp_path / "raw"), "illmrec sample")


def test_truncated_gzip(prepare, raw: Path) -> None:
    path = write_reviews(raw, [])
    path.write_bytes(path.read_bytes()[:-200])
    assert_refused(prepare("amazon"), str(path), "cannot be read past line", "fetch it again")


def test_line_that_is_not_an_object_is_set_aside(prepare, raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_reviews(raw, ["[1, 2]"])
    result = prepare("amazon")
    assert result.code == 0
    assert json.loads(result.out)["rejected_rows_not_a_JSON_object"] == 1
    assert "meta_Home.json.gz is missing" in caplog.text


def test_too_many_bad_rows(prepare, raw: Path) -> None:
    path = write_reviews(raw, ["[1, 2]"] * 10)
    assert_refused(prepare("amazon"), f"{path}, row 145", "10 of 154 rows", "not a JSON object", "max_rejected_share")


def test_csv_without_a_column(prepare, raw: Path) -> None:
    (raw / "interactions.csv").write_text("user_id,item,timestamp\nu,i,1\n")
    assert_refused(prepare("own"), "'item_id'", "'item'", "interactions.csv")


def test_bytes_that_are_not_utf8(prepare, raw: Path) -> None:
    write_own(raw)
    with (raw / "interactions.csv").open("ab") as file:
        file.write(b"caf\xe9,i1,5\n")
    assert_refused(prepare("own"), "interactions.csv, row 38", "not UTF-8")


def test_empty_file(prepare, raw: Path) -> None:
    (raw / "interactions.csv").touch()
    assert_refused(prepare("own"), "is empty")


def test_core_that_empties_the_data(prepare, raw: Path) -> None:
    write_own(raw)
    parts = ("user_core 7", "6 users, 6 items", "largest k with something left is 6", "prepare.user_core")
    assert_refused(prepare("own", user_core=7, item_core=7), *parts)


def test_pictures_that_are_none_are_counted_and_not_fatal(prepare, raw: Path, tmp_path: Path) -> None:
    write_own(raw)
    (raw / "images").mkdir()
    (raw / "images" / "i0.jpg").write_text("<html>404</html>")
    (tmp_path / "secret.png").touch()
    (raw / "images" / "i1.png").symlink_to(tmp_path / "secret.png")
    (raw / "images" / "i2.png").symlink_to(raw / "nowhere.png")
    result = prepare("own")
    assert result.code == 0
    summary = json.loads(result.out)
    found = {name: value for name, value in summary.items() if name.startswith("pictures_")}
    assert found == {"pictures_undecodable": 1, "pictures_unsafe_path": 1, "pictures_missing": 1}


def test_the_installed_command_leaves_with_the_code(tmp_path: Path) -> None:
    sections = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "raw"}}
    (tmp_path / "params.yaml").write_text(json.dumps({"datasets": {"d": sections}}))
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "--root", str(tmp_path), "prepare"]
    result = subprocess.run([*command, "--dataset", "d"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == DATA_REFUSED
    assert result.stderr.count("\n") == 2
