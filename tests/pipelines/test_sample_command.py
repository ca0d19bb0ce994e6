"""``illmrec sample``: writes three catalogs, replaces its own, leaves others' data alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from illmrec.atomic import digest_folder
from illmrec.errors import DataError, LockedError
from pipelines.cli import cli
from pipelines.project.lock import hold_lock


def run(root: Path, *arguments: str) -> str:
    return CliRunner().invoke(cli, ["--root", str(root), "sample", *arguments], catch_exceptions=False).stdout


def test_it_writes_and_rewrites_equal_bytes_without_a_parameters_file(tmp_path: Path) -> None:
    facts = json.loads(run(tmp_path, "--json"))
    assert (facts["amazon_users"], facts["hm_users"], facts["microlens_users"]) == (600, 500, 400)
    before = digest_folder(tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["amazon", "hm", "microlens"]
    (tmp_path / "data" / "hm" / "stray.txt").write_text("left over")
    run(tmp_path)
    assert digest_folder(tmp_path / "data") == before


def test_it_refuses_before_it_writes_anything(tmp_path: Path) -> None:
    foreign = tmp_path / "data" / "microlens" / "MicroLens-50k_pairs.csv"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("user,item,timestamp\n")
    with pytest.raises(DataError, match="microlens"):
        run(tmp_path)
    assert foreign.read_text() == "user,item,timestamp\n"
    assert not (tmp_path / "data" / "amazon").exists()


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    with hold_lock(tmp_path / "work" / "locks" / "all-sample.lock"), pytest.raises(LockedError):
        run(tmp_path)


def test_help_shows_an_example_on_a_line_of_its_own(tmp_path: Path) -> None:
    assert "\n    illmrec sample --seed 0\n" in run(tmp_path, "--help")
