"""Written nights: the pointer, digests, formats, and which of them are removed."""

import csv
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from illmrec.atomic import digest_folder, write_folder
from illmrec.errors import DataError
from illmrec.scoring.output import (
    RECOMMENDATIONS,
    check_run,
    find_latest,
    move_pointer,
    read_latest,
    read_user,
    write_run,
)
from illmrec.scoring.retention import prune_nights

USERS = ["=cmd|' /C calc'!A1", "anna", 'böse "quote"', "zoe"]


def make_table() -> pl.DataFrame:
    rows = [
        (user, rank, f"@item{rank}", 1.5 / rank, 1.0, None, 0.5, "model", False, rank == 2, "m/1")
        for user in USERS
        for rank in (1, 2)
    ]
    return pl.DataFrame(rows, schema=RECOMMENDATIONS, orient="row").sort("user_id", "rank")


def write_night(exports: Path, date: str, formats: tuple[str, ...] = ("parquet",), run: str = "0123456789ab") -> Path:
    folder = exports / f"dt={date}" / f"run={run}"
    with write_folder(folder) as partial:
        write_run(partial, make_table(), 3, {"date": date, "model": "m", "model_version": "1"}, formats)
    return folder


def test_every_format_holds_the_same_rows_and_is_in_the_manifest(tmp_path: Path) -> None:
    folder = write_night(tmp_path, "2026-01-31", ("parquet", "csv", "jsonl"))
    manifest = check_run(folder)
    assert len(manifest["files"]) == 3
    assert len(manifest["copies"]) == 6
    move_pointer(tmp_path, folder)
    expected = read_latest(tmp_path).sort("user_id", "rank").to_dicts()
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    told = sorted((json.loads(line) for line in lines), key=lambda row: (row["user_id"], row["rank"]))
    assert told == expected
    cells = [row for path in folder.glob("*.csv") for row in csv.DictReader(path.open(encoding="utf-8"))]
    assert len(cells) == len(expected)
    assert {row["rank"] for row in cells} == {"1", "2"}


def test_a_spreadsheet_runs_nothing_of_a_csv(tmp_path: Path) -> None:
    folder = write_night(tmp_path, "2026-01-31", ("parquet", "csv"))
    cells = [row for path in folder.glob("*.csv") for row in csv.reader(path.open(encoding="utf-8"))]
    texts = [cell for row in cells for cell in row]
    assert "'" + USERS[0] in texts
    assert not [cell for cell in texts if cell[:1] in tuple("=+-@\t\r")]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_a_changed_or_added_file_of_any_format_is_noticed(tmp_path: Path, ending: str) -> None:
    folder = write_night(tmp_path, "2026-01-31", ("parquet", "csv", "jsonl"))
    path = folder / f"part-00001.{ending}"
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    with pytest.raises(DataError, match="differs from the manifest"):
        check_run(folder)
    path.write_bytes(content)
    check_run(folder)
    (folder / f"part-00099.{ending}").write_bytes(content)
    with pytest.raises(DataError, match="differs from the manifest"):
        check_run(folder)


def test_equal_tables_give_equal_bytes_in_every_format(tmp_path: Path) -> None:
    formats = ("parquet", "csv", "jsonl")
    folders = [write_night(tmp_path / name, "2026-01-31", formats) for name in "ab"]
    assert digest_folder(folders[0]) == digest_folder(folders[1])


def test_one_user_is_read_from_one_intact_part(tmp_path: Path) -> None:
    folder = write_night(tmp_path, "2026-01-31")
    move_pointer(tmp_path, folder)
    for user in USERS:
        assert read_user(tmp_path, user)["rank"].to_list() == [1, 2]
    assert read_user(tmp_path, "nobody").is_empty()
    for part in folder.glob("*.parquet"):
        part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(DataError, match="differs"):
        read_user(tmp_path, "anna")


def test_a_manifest_that_is_not_the_published_one_is_refused(tmp_path: Path) -> None:
    folder = write_night(tmp_path, "2026-01-31")
    move_pointer(tmp_path, folder)
    assert find_latest(tmp_path).model == "m/1"
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"model_version": "1"', '"model_version": "2"'))
    with pytest.raises(DataError, match="differs from the published"):
        read_latest(tmp_path)


DATES = [f"2026-01-{day:02d}" for day in range(1, 8)]


def test_old_nights_go_and_what_readers_are_pointed_to_stays(tmp_path: Path) -> None:
    folders = {date: write_night(tmp_path, date) for date in DATES}
    removed = prune_nights(tmp_path, 3, (folders["2026-01-02"],))
    assert [path.parent.name for path in removed] == ["dt=2026-01-01", "dt=2026-01-03", "dt=2026-01-04"]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"dt={date}" for date in ("2026-01-02", *DATES[4:])]


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    folders = {date: write_night(tmp_path, date) for date in DATES}
    (folders["2026-01-01"] / "notes.txt").write_text("mine")
    foreign = tmp_path / "dt=2026-01-02" / "run=by-hand"
    shutil.copytree(folders["2026-01-02"], foreign)
    (tmp_path / "dt=unknown").mkdir()
    (tmp_path / "dt=2025-13-45").mkdir()
    (tmp_path / "keep.me").write_text("mine")
    (folders["2026-01-03"] / "manifest.json").unlink()
    link = tmp_path / "dt=2025-01-01"
    link.symlink_to(tmp_path / "dt=2026-01-07")
    removed = prune_nights(tmp_path, 1, ())
    assert [path.parent.name for path in removed] == [f"dt={date}" for date in ("2026-01-02", *DATES[3:6])]
    for path in (folders["2026-01-01"] / "notes.txt", foreign / "manifest.json", folders["2026-01-03"], link):
        assert path.exists()
    assert {path.name for path in tmp_path.iterdir()} >= {"dt=unknown", "dt=2025-13-45", "keep.me", "dt=2026-01-07"}


def test_a_removal_that_was_killed_is_finished_the_next_time(tmp_path: Path) -> None:
    folders = {date: write_night(tmp_path, date) for date in DATES[:3]}
    half = tmp_path / "dt=2026-01-01" / ".run=0123456789ab.partial-old"
    folders["2026-01-01"].rename(half)
    (half / "manifest.json").unlink()
    prune_nights(tmp_path, 1, (folders["2026-01-03"],))
    assert [path.name for path in tmp_path.iterdir()] == ["dt=2026-01-03"]
