"""From raw files to published recommendations on a small synthetic catalog."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from illmrec.atomic import digest_folder
from illmrec.errors import DataError, ModelError, NothingToDoError
from illmrec.evaluation.metrics import MRR, NDCG_10
from illmrec.evaluation.table import MetricsTable, write_metrics
from illmrec.scoring.output import read_latest
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from tests.integration.conftest import DAY, expect_error, make_project, run_ok
from tests.metrics_rows import read_printed
from tests.own_project import copy_project, copy_with_outputs

Project = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy for this module: some of its tests damage it for a moment, and commands write their logs."""
    return copy_with_outputs(project, tmp_path_factory.mktemp("whole") / "project")


def test_every_command_says_what_it_did(project: Project) -> None:
    _, printed = project
    assert printed["prepare"]["users"] > 20
    assert printed["validate"]["passed"] is True
    assert printed["embed-images"]["encoded"] == printed["embed-images"]["pictures"]
    assert printed["train"]["steps"] > 0
    assert printed["train"]["resumed"] is False
    assert printed["export"]["same_top10_share"] == 1.0


def test_metrics_name_every_model_and_protocol(project: Project) -> None:
    root, printed = project
    stored = Shelf(Layout(root, "shop")).metrics
    assert stored.rows == read_printed(printed["evaluate"]).rows
    for model in ("illmrec", "sasrec", "popularity"):
        for protocol in ("full", "sampled"):
            mean = stored.interval(NDCG_10, model=model, protocol=protocol)
            assert 0.0 <= mean.low <= mean.value <= mean.high <= 1.0
    difference = stored.value(MRR, model="illmrec") - stored.value(MRR, model="sasrec")
    assert stored.value(MRR, model="illmrec", against="sasrec") == pytest.approx(difference)


def test_recommendations_hold_k_unseen_items_for_every_user(project: Project) -> None:
    root, _ = project
    table = read_latest(root / "exports/shop")
    prepared = root / "artifacts/shop/prepared"
    users = pl.read_parquet(prepared / "users.parquet")
    seen = pl.concat(
        [pl.read_parquet(prepared / f"{name}.parquet") for name in ("interactions", "interactions_below_core")]
    )
    counts = table.group_by("user_id").agg(pl.len(), pl.col("item_id").n_unique().alias("items"))
    assert set(counts["user_id"]) == set(users["user_id"])
    assert counts.filter((pl.col("len") != 20) | (pl.col("items") != 20)).is_empty()
    assert table.join(seen, on=["user_id", "item_id"], how="semi").is_empty()
    assert table.filter(pl.col("score").diff().over("user_id") > 0).is_empty()
    model = table.filter(pl.col("reason") == "model")
    total = model["share_image"] + model["share_cf"] + model["share_text"]
    assert (total - model["score"]).abs().max() < 1e-4


def test_the_export_equals_scores_computed_with_torch(project: Project) -> None:
    import numpy as np

    from pipelines.assembly.recommender import load_recommender
    from pipelines.nights.audience import gather_audience, read_interactions

    root, _ = project
    shelf = Shelf(Layout(root, "shop"))
    model = load_recommender(shelf, shelf.layout.model)
    from datetime import date

    catalog = shelf.catalog
    audience = gather_audience(shelf, read_interactions(shelf, date.fromisoformat(DAY)))
    rows = [audience.histories[user] for user in range(len(audience.user_ids))]
    scores = model.project_users(model.represent_users(rows, 1)) @ model.represent_items().T
    for user, row in enumerate(rows):
        scores[user, row] = -np.inf
    best = [catalog.item_ids[index] for index in scores.argmax(axis=1)]
    table = read_latest(root / "exports/shop").filter(pl.col("rank") == 1).sort("user_id")
    assert table["item_id"].to_list() == best
    assert np.abs(table["score"].to_numpy() - scores.max(axis=1)).max() < 1e-4


def test_the_same_night_twice_gives_the_same_bytes(project: Project, tmp_path: Path) -> None:
    root, printed = project
    folder = Path(printed["recommend"]["folder"])
    before = digest_folder(folder)
    assert run_ok(root, "recommend", "--date", DAY)["already_written"] is True
    shutil.move(folder, tmp_path / "aside")
    again = run_ok(root, "recommend", "--date", DAY)
    assert again["already_written"] is False
    assert Path(again["folder"]) == folder
    assert digest_folder(folder) == before


def test_a_changed_part_is_noticed_by_the_reader(project: Project) -> None:
    root, printed = project
    part = Path(printed["recommend"]["folder"]) / "part-00000.parquet"
    original = part.read_bytes()
    part.write_bytes(original[:-9] + bytes([original[-9] ^ 1]) + original[-8:])
    with pytest.raises(DataError, match="differs from the manifest"):
        read_latest(root / "exports/shop")
    part.write_bytes(original)
    read_latest(root / "exports/shop")


def test_registered_version_carries_its_lineage(project: Project) -> None:
    from pipelines.registry.tracking import CHAMPION, Tracker

    root, printed = project
    version = Tracker(root).resolve("illmrec-shop", CHAMPION)
    ndcg = read_printed(printed["evaluate"]).value(NDCG_10, model="illmrec")
    assert version.tags["quality_gate"] == "passed"
    assert float(version.tags["metric/full/ndcg_at_10"]) == pytest.approx(ndcg, abs=1e-6)
    for key in ("git_commit", "dvc_lock_sha256", "params_sha256", "onnx_sha256", "backbone", "image_encoder"):
        assert version.tags[key]


def test_promoting_the_champion_again_is_nothing_to_do(project: Project) -> None:
    root, _ = project
    error = expect_error(root, "promote")
    assert isinstance(error, NothingToDoError)
    assert error.exit_code == 6


def test_a_worse_challenger_is_refused_and_the_champion_stays(project: Project, tmp_path: Path) -> None:
    from pipelines.registry.tracking import CHAMPION, Tracker

    root, printed = tmp_path / "project", project[1]
    copy_project(project[0], root)  # another version would be there for all tests after this one
    folder = root / "artifacts/shop/evaluation"
    metrics, ranks = (folder / "metrics.parquet").read_bytes(), (folder / "ranks.parquet").read_bytes()
    worse = pl.read_parquet(folder / "ranks.parquet").with_columns(pl.col("illmrec_full") + 20)
    worse.write_parquet(folder / "ranks.parquet", metadata=pl.read_parquet_metadata(folder / "ranks.parquet"))
    mean = float((1.0 / worse["illmrec_full"]).mean())
    rows = read_printed(printed["evaluate"]).rows
    mrr = next(row for row in rows if row.label == "illmrec, full, mrr")
    changed = [replace(row, value=mean) if row is mrr else row for row in rows]
    write_metrics(folder / "metrics.parquet", MetricsTable(changed))
    assert run_ok(root, "register")["version"] != printed["register"]["version"]
    (folder / "metrics.parquet").write_bytes(metrics)
    (folder / "ranks.parquet").write_bytes(ranks)
    error = expect_error(root, "promote")
    assert error.exit_code == 4
    assert "quality: fails; paired" in str(error)
    assert Tracker(root).resolve("illmrec-shop", CHAMPION).number == printed["register"]["version"]


def test_a_project_without_champion_says_what_to_run(tmp_path: Path) -> None:
    error = expect_error(make_project(tmp_path / "empty"), "recommend", "--date", DAY)
    assert isinstance(error, ModelError)
    assert error.exit_code == 4
    assert "illmrec register" in error.hint


def test_a_flipped_byte_in_the_model_is_refused(project: Project) -> None:
    root, _ = project
    path = root / "artifacts/shop/model/tensors.safetensors"
    original = path.read_bytes()
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    error = expect_error(root, "evaluate")
    path.write_bytes(original)
    assert error.exit_code == 4
    assert "digest does not match" in str(error)


def test_a_changed_file_in_the_registry_is_refused(project: Project) -> None:
    root, _ = project
    shutil.rmtree(root / "work/releases")
    stored = sorted((root / "mlartifacts").rglob("model.onnx"))
    originals = {path: path.read_bytes() for path in stored}
    for path, content in originals.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    error = expect_error(root, "recommend", "--date", DAY)
    for path, content in originals.items():
        path.write_bytes(content)
    assert error.exit_code == 4
    assert "onnx_sha256" in str(error)
    run_ok(root, "recommend", "--date", DAY)


def test_an_unchanged_catalog_encodes_nothing_again(project: Project) -> None:
    root, printed = project
    again = run_ok(root, "embed-images")
    assert again["encoded"] == 0
    assert again["pictures"] == printed["embed-images"]["pictures"]
    assert run_ok(root, "embed-text")["encoded"] == 0
