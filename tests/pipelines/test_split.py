"""``illmrec split``: behind the quality gate, sequences and negatives that fit the items table."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from illmrec import columns
from illmrec.atomic import digest_folder
from illmrec.errors import DataError, MissingArtifactError
from pipelines.cli import cli
from pipelines.params import STAGES

USERS, ITEMS = 6, 40


@pytest.fixture
def project(tmp_path: Path) -> Path:
    prepared = tmp_path / "artifacts" / "shop" / "prepared"
    prepared.mkdir(parents=True)
    ids = sorted(f"i{i}" for i in range(ITEMS))
    rows = [(f"u{u}", ids[(u + step) % ITEMS], step) for u in range(USERS) for step in range(5)] + [("short", "i1", 1)]
    pl.DataFrame(rows, schema=columns.INTERACTIONS, orient="row").write_parquet(prepared / "interactions.parquet")
    items = [(item, "", "", [], "", "", "missing") for item in ids]
    pl.DataFrame(items, schema=columns.ITEMS, orient="row").write_parquet(prepared / "items.parquet")
    write_gate(tmp_path, '{"passed": true}')
    sections = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data"}}
    params = {"split": {"negatives": 7}, "datasets": {"shop": sections}}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    return tmp_path


def write_gate(root: Path, text: str) -> None:
    gate = root / "artifacts" / "shop" / "quality" / "gate.json"
    gate.parent.mkdir(exist_ok=True)
    gate.write_text(text)


def run(root: Path) -> dict[str, float]:
    arguments = ["--root", str(root), "split", "--dataset", "shop", "--json"]
    return json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)


def test_sequences_and_negatives_fit_the_items_table(project: Path) -> None:
    summary = run(project)
    folder = project / "artifacts" / "shop" / "split"
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert (summary["users"], summary["items"], summary["train_interactions"]) == (USERS, ITEMS, USERS * 3)
    assert summary["users_put_aside"] == 1
    sequences = pl.read_parquet(folder / "sequences.parquet")
    assert sequences.schema == pl.Schema(columns.SEQUENCES)
    assert sequences["user_id"].to_list() == [f"u{u}" for u in range(USERS)]
    assert sequences.row(2)[2:] == ([2, 3, 4], 5, 6)
    negatives = pl.read_parquet(folder / "negatives.parquet")
    assert negatives.schema == pl.Schema(columns.NEGATIVES)
    for sequence, candidates in zip(sequences.rows(), negatives["negatives"].to_list(), strict=True):
        seen = {*sequence[2], sequence[3], sequence[4]}
        assert len(set(candidates)) == 7
        assert not set(candidates) & seen


def test_equal_input_gives_equal_bytes(project: Path) -> None:
    run(project)
    before = digest_folder(project / "artifacts" / "shop" / "split")
    run(project)
    assert digest_folder(project / "artifacts" / "shop" / "split") == before


def test_data_that_nobody_checked_are_refused(project: Path) -> None:
    (project / "artifacts" / "shop" / "quality" / "gate.json").unlink()
    with pytest.raises(MissingArtifactError) as caught:
        run(project)
    assert "illmrec validate --dataset shop" in caught.value.hint


@pytest.mark.parametrize("gate", ['{"passed": false}', '{"passed": "yes"}', "{}", "[]", "not JSON"])
def test_data_that_failed_the_gate_are_refused(project: Path, gate: str) -> None:
    write_gate(project, gate)
    with pytest.raises(DataError, match=r"quality gate"):
        run(project)
    assert not (project / "artifacts" / "shop" / "split").exists()


def test_missing_tables_name_the_command_that_makes_them(project: Path) -> None:
    (project / "artifacts" / "shop" / "prepared" / "items.parquet").unlink()
    with pytest.raises(MissingArtifactError) as caught:
        run(project)
    assert "illmrec prepare --dataset shop" in caught.value.hint
