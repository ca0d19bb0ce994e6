"""``illmrec split``: behind the quality gate, sequences and negatives that fit the items table."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from illmrec import columns
from illmrec.atomic import digest_folder
from illmrec.errors import DataError, MissingArtifactError, ParameterError
from pipelines.cli import cli
from pipelines.parameters.reading import STAGES

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
    targets = pl.read_parquet(folder / "targets.parquet")
    assert targets.schema == pl.Schema(columns.TARGETS)
    assert targets.rows() == [(row[0], row[4]) for row in sequences.rows()]
    popular = pl.read_parquet(folder / "popular_negatives.parquet")
    trained = set(sequences["train"].explode())
    for sequence, candidates in zip(sequences.rows(), popular["negatives"].to_list(), strict=True):
        assert set(candidates) == trained - {*sequence[2], sequence[3], sequence[4]} or len(candidates) == 7
        assert set(candidates) <= trained - {*sequence[2], sequence[3], sequence[4]}
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


def change_split(root: Path, **split: object) -> None:
    params = json.loads((root / "params.yaml").read_text())
    params["split"] |= split
    (root / "params.yaml").write_text(json.dumps(params))


def test_a_split_by_time_names_its_moment(project: Path) -> None:
    # Five interactions of each of six users at seconds 0 to 4, one more at second 1: 12 of 31 at 3 or later.
    change_split(project, method="global_time", test_share=0.3)
    summary = run(project)
    assert summary["method"] == "global_time"
    assert summary["cutoff"] == "1970-01-01 00:00:03 UTC"
    folder = project / "artifacts" / "shop" / "split"
    sequences, targets = (pl.read_parquet(folder / f"{name}.parquet") for name in ("sequences", "targets"))
    assert sequences["train"].list.len().to_list() == [2] * USERS
    # Users u and u + 1 share items, so each user's next ones were known of others, but for the last two users.
    assert targets["user_index"].value_counts().sort("user_index").rows() == [(0, 2), (1, 2), (2, 2), (3, 2), (4, 1)]
    assert sequences["test"].to_list() == [3, 4, 5, 6, 7, None]
    known = {*sequences["train"].explode(), *sequences["valid"]}
    for name in ("negatives", "popular_negatives"):
        drawn = pl.read_parquet(folder / f"{name}.parquet")["negatives"].to_list()
        assert {item for own in drawn for item in own} <= known, "items that came later were no candidates"
        for user in range(USERS):
            own = set(targets.filter(pl.col("user_index") == user)["item_index"])
            assert not set(drawn[user]) & {*sequences["train"][user], sequences["valid"][user], *own}


def test_a_day_that_leaves_nothing_to_test_is_refused(project: Path) -> None:
    change_split(project, method="global_time", cutoff="1990-05-01")
    with pytest.raises(DataError, match="1990-05-01 00:00:00 UTC"):
        run(project)
    assert not (project / "artifacts" / "shop" / "split").exists()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"cutoff": "1990-05-01"}, "needs method global_time"),
        ({"method": "global_time", "cutoff": "1990-02-31"}, "day"),
        ({"method": "global_time", "cutoff": "May 1990"}, "cutoff"),
        ({"method": "global_time", "test_share": 1.0}, "test_share"),
    ],
)
def test_a_wrong_moment_is_refused_before_anything_runs(project: Path, split: dict[str, object], message: str) -> None:
    change_split(project, **split)
    with pytest.raises(ParameterError, match=message):
        run(project)
