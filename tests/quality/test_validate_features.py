from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from illmrec.errors import DataError, MissingArtifactError, ModelError
from pipelines.cli import cli
from pipelines.quality.pairs import Pairs, compare_pairs
from tests.feature_project import ITEMS, draw_vectors, list_failed, read_gate, use_tower, write_project

COMMAND = ["validate-features", "--dataset", "shop"]


def invoke(root, *arguments: str):
    return CliRunner().invoke(cli, ["--root", str(root), *arguments], standalone_mode=False)


def quarter_noise(pictures):
    """Return texts that resemble the pictures."""
    return pictures + 0.5 * draw_vectors(1)


def test_matching_pictures_and_texts_pass(tmp_path, monkeypatch) -> None:
    pictures = draw_vectors()
    texts = quarter_noise(pictures)
    tower = use_tower(monkeypatch, texts)
    root = write_project(tmp_path, pictures, texts)
    outcome = invoke(root, *COMMAND, "--json")
    assert outcome.exception is None
    printed, gate = json.loads(outcome.stdout), read_gate(root)
    assert (gate["passed"], gate["critical_failures"], gate["warnings"]) == (True, 0, 0)
    assert gate["not_checked"] == []
    assert printed["not_checked"] == "nothing"
    assert gate["pairs"]["pairs"] == ITEMS
    assert gate["pairs"]["auc"] > 0.99
    assert gate["pairs"]["mean_own"] > 0.8
    assert abs(gate["pairs"]["mean_shuffled"]) < 0.1
    assert tower.read == ITEMS
    folder = root / "artifacts" / "shop" / "feature_quality"
    assert {path.name for path in folder.iterdir()} == {"gate.json", "docs", "worst_pairs.parquet"}
    assert "Feature quality gate: passed" in (folder / "docs" / "index.html").read_text(encoding="utf-8")
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    assert invoke(root, *COMMAND).exception is None
    assert tower.read == ITEMS, "texts that are in the feature cache are not read again"
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before


def test_an_encoder_without_a_text_tower_is_not_called_checked(tmp_path, monkeypatch) -> None:
    tower = use_tower(monkeypatch, draw_vectors())
    root = write_project(tmp_path, draw_vectors(), draw_vectors(), source="timm")
    outcome = invoke(root, *COMMAND, "--json")
    assert outcome.exception is None
    gate = read_gate(root)
    assert "no text tower" in json.loads(outcome.stdout)["not_checked"]
    assert [check["name"] for check in gate["not_checked"]] == ["pairs_better_than_shuffled", "pairs_not_outliers"]
    assert all("timm" in check["reason"] for check in gate["not_checked"])
    assert "image_text_pairs" not in {check["suite"] for check in gate["checks"]}
    assert gate["pairs"] == {}
    assert tower.read == 0
    docs = (root / "artifacts" / "shop" / "feature_quality" / "docs" / "index.html").read_text(encoding="utf-8")
    assert "no text tower" in docs


def test_the_wrong_picture_of_one_item_is_listed_first(tmp_path, monkeypatch) -> None:
    pictures = draw_vectors()
    texts = quarter_noise(pictures)
    use_tower(monkeypatch, texts)
    pictures[7] = -pictures[7]
    root = write_project(tmp_path, pictures, texts, listed_pairs=3)
    assert invoke(root, *COMMAND).exception is None
    worst = pl.read_parquet(root / "artifacts" / "shop" / "feature_quality" / "worst_pairs.parquet")
    assert worst.height == 3
    assert worst.row(0, named=True)["item_id"] == "i007"
    assert worst["similarity"].is_sorted()
    assert worst["outlier"].to_list() == [1, 0, 0]


def test_one_vector_for_most_items_closes_the_gate(tmp_path, monkeypatch) -> None:
    pictures = draw_vectors()
    texts = quarter_noise(pictures)
    use_tower(monkeypatch, texts)
    pictures[: ITEMS * 6 // 10] = pictures[0]
    root = write_project(tmp_path, pictures, texts)
    outcome = invoke(root, *COMMAND)
    assert isinstance(outcome.exception, DataError)
    assert outcome.exception.exit_code == 3
    assert "refused the features" in str(outcome.exception)
    failed = list_failed(read_gate(root))
    assert failed["image_vectors.rows_not_repeated"] == "critical"
    assert "text_vectors.rows_not_repeated" not in failed


def test_vectors_that_hardly_differ_close_the_gate(tmp_path, monkeypatch) -> None:
    texts = draw_vectors()
    use_tower(monkeypatch, texts)
    pictures = 1.0 + 0.005 * draw_vectors()
    root = write_project(tmp_path, pictures, texts)
    assert isinstance(invoke(root, *COMMAND).exception, DataError)
    assert list_failed(read_gate(root))["image_vectors.rows_differ"] == "critical"


def test_a_number_that_is_not_finite_closes_the_gate(tmp_path, monkeypatch) -> None:
    pictures = draw_vectors()
    use_tower(monkeypatch, pictures)
    root = write_project(tmp_path, pictures, pictures)
    path = root / "artifacts" / "shop" / "features" / "text" / "values.npy"
    values = np.load(path)
    values[3, 2] = np.nan
    np.save(path, values)
    assert isinstance(invoke(root, *COMMAND).exception, DataError)
    (check,) = (check for check in read_gate(root)["checks"] if not check["passed"])
    assert (check["suite"], check["name"]) == ("text_vectors", "values_finite")
    assert check["offending"] == [{"row": 4, "item_id": "i003"}]


def test_filled_rows_are_no_pairs_and_no_repeats(tmp_path, monkeypatch) -> None:
    pictures = draw_vectors()
    texts = quarter_noise(pictures)
    tower = use_tower(monkeypatch, texts)
    present = np.arange(ITEMS) >= ITEMS * 6 // 10
    pictures[~present] = 1.0
    root = write_project(tmp_path, pictures, texts, present=present)
    assert invoke(root, *COMMAND).exception is None
    assert tower.read == present.sum()
    assert list_failed(read_gate(root)) == {
        "image_vectors.rows_mostly_own": "warning",
        "text_vectors.rows_mostly_own": "warning",
    }


def test_the_stages_before_it_must_have_run(tmp_path) -> None:
    root = write_project(tmp_path, draw_vectors(), draw_vectors())
    (root / "artifacts" / "shop" / "features" / "text" / "header.json").unlink()
    assert isinstance(invoke(root, *COMMAND).exception, ModelError)
    (root / "artifacts" / "shop" / "prepared" / "items.parquet").unlink()
    assert isinstance(invoke(root, *COMMAND).exception, MissingArtifactError)
    assert not (root / "artifacts" / "shop" / "feature_quality").exists()


def test_auc_counts_pairs_that_are_more_similar_and_half_of_the_ties() -> None:
    pairs = Pairs(np.array([0.2, 0.5, 0.9]), np.array([0.1, 0.5, 0.3, 0.95]))
    # 0.2 beats one of four, 0.5 two and a tie, 0.9 three.
    assert pairs.auc == pytest.approx(float(Fraction(2 * 1 + 2 * 2 + 1 + 2 * 3, 2 * 3 * 4)))
    assert pairs.rank_own().tolist() == [25.0, 50.0, 75.0]


def test_no_picture_meets_its_own_text_among_the_shuffled_pairs() -> None:
    eye = np.eye(9, dtype=np.float32)
    pairs = compare_pairs(eye.__getitem__, eye.__getitem__, 9, shuffles=20, seed=0)
    assert pairs.own.tolist() == [1.0] * 9
    assert set(pairs.shuffled.tolist()) == {0.0}
    assert pairs.shuffled.shape == (180,)


def test_the_seed_decides_which_pairs_are_shuffled() -> None:
    vectors = draw_vectors()
    first, again, other = (
        compare_pairs(vectors.__getitem__, vectors.__getitem__, ITEMS, shuffles=2, seed=seed).shuffled
        for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
