"""``illmrec evaluate``: every part of it on the small project, and on a split by time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from illmrec.errors import DataError
from tests.integration.conftest import expect_error, run_ok
from tests.own_project import copy_project, copy_with_outputs

Project = tuple[Path, dict[str, dict[str, Any]]]
MODELS = ("illmrec", "sasrec", "popularity")
CUTOFFS = (5, 10, 20)


@pytest.fixture(scope="module")
def project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy for this module: who opens the registry writes to its lock."""
    return copy_with_outputs(project, tmp_path_factory.mktemp("evaluated") / "project")


@pytest.fixture
def root(project: Project, tmp_path: Path) -> Path:
    return copy_project(project[0], tmp_path / "project")


def change(root: Path, section: str, **values: Any) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params[section] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def test_every_protocol_has_every_metric_and_all_pairs(project: Project) -> None:
    metrics = project[1]["evaluate"]
    names = [f"{name}@{k}" for name in ("hit", "ndcg", "mrr") for k in CUTOFFS] + ["mrr"]
    for protocol in ("full", "sampled", "popular"):
        for name in names:
            for model in MODELS:
                key = f"{model}/{protocol}/{name}"
                assert metrics[f"{key}.low"] <= metrics[key] <= metrics[f"{key}.high"]
            for pair in ("illmrec-sasrec", "illmrec-popularity", "sasrec-popularity"):
                key = f"{pair}/{protocol}/{name}"
                first, second = pair.split("-")
                gap = metrics[f"{first}/{protocol}/{name}"] - metrics[f"{second}/{protocol}/{name}"]
                assert metrics[key] == pytest.approx(gap)
                assert 0 < metrics[f"{key}.p"] <= metrics[f"{key}.holm"] <= 1
    assert all(value == value for value in metrics.values()), "no NaN"


def test_metrics_are_those_of_the_ranks(project: Project) -> None:
    root, printed = project
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    targets = pl.read_parquet(root / "artifacts/shop/split/targets.parquet")
    assert ranks.select(targets.columns).equals(targets)
    for model in MODELS:
        for protocol in ("full", "sampled", "popular"):
            found = ranks[f"{model}_{protocol}"].to_numpy()
            assert printed["evaluate"][f"{model}/{protocol}/hit@10"] == pytest.approx((found <= 10).mean())
            assert printed["evaluate"][f"{model}/{protocol}/mrr"] == pytest.approx((1 / found).mean())


def test_slices_add_up_to_the_whole(project: Project) -> None:
    root, printed = project
    table = pl.read_csv(root / "artifacts/shop/evaluation/slices.csv")
    users = printed["evaluate"]["cases/users"]
    for (_, model), rows in table.group_by("group", "model"):
        assert rows["targets"].sum() == users
        total = (rows["targets"] * rows["ndcg@10"]).sum() / users
        assert total == pytest.approx(printed["evaluate"][f"{model}/full/ndcg@10"])
    assert {"target's popularity", "history length", "target's picture"} <= set(table["group"])


def test_lists_of_popularity_are_those_of_a_plain_count(project: Project) -> None:
    root, printed = project
    metrics = printed["evaluate"]
    sequences = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet")
    items = pl.read_parquet(root / "artifacts/shop/prepared/items.parquet").height
    counts = np.bincount(sequences["train"].explode().to_numpy(), minlength=items)
    order = np.argsort(-counts, kind="stable").tolist()
    information = -np.log2((counts + 1) / (counts.sum() + items))
    histories = [{*train, valid} for train, valid in sequences.select("train", "valid").rows()]
    for k in CUTOFFS:
        lists = [[item for item in order if item not in history][:k] for history in histories]
        shown = len({item for row in lists for item in row}) / items
        assert metrics[f"popularity/lists/coverage@{k}"] == pytest.approx(shown)
        novelty = np.mean([information[row].mean() for row in lists])
        assert metrics[f"popularity/lists/novelty@{k}"] == pytest.approx(novelty)
        for model in MODELS:
            assert 0 < metrics[f"{model}/lists/coverage@{k}"] <= 1
            assert 0 < metrics[f"{model}/lists/gini@{k}"] < 1
            assert 0 < metrics[f"{model}/lists/miscalibration@{k}.low"] < np.log2(100)
    assert metrics["illmrec/full/tied_share"] < 0.5 < metrics["popularity/full/tied_share"]


def test_wrong_pictures_are_beside_the_intact_model_and_in_the_registry(project: Project) -> None:
    from pipelines.registry.tracking import CHAMPION, Tracker

    root, printed = project
    metrics = printed["evaluate"]
    assert metrics["cases/knockout_users"] == metrics["cases/users"]
    assert metrics["illmrec[intact]/full/ndcg@10"] == pytest.approx(metrics["illmrec/full/ndcg@10"])
    tagged = json.loads(Tracker(root).resolve("illmrec-shop", CHAMPION).tags["knockouts"])
    gaps = []
    for wrong in ("shuffled", "constant", "noise"):
        for place in ("prompt", "retrieval", "both"):
            name = f"illmrec[images {wrong} in {place}]"
            key = f"{name}-illmrec[intact]/full/ndcg@10"
            gap = metrics[f"{name}/full/ndcg@10"] - metrics["illmrec[intact]/full/ndcg@10"]
            assert metrics[key] == pytest.approx(gap)
            value, low, high = tagged[f"{wrong} in {place}"]
            assert value == pytest.approx(gap, abs=1e-6)
            assert low <= high
            gaps.append(gap)
    assert len({round(gap, 9) for gap in gaps}) > 3


def test_fewer_users_or_none_may_get_wrong_pictures(root: Path) -> None:
    change(root, "evaluate", knockout_users=7)
    metrics = run_ok(root, "evaluate")
    assert metrics["cases/knockout_users"] == 7
    assert metrics["illmrec[intact]/full/mrr"] != metrics["illmrec/full/mrr"]
    change(root, "evaluate", knockout_users=0)
    metrics = run_ok(root, "evaluate")
    assert not [key for key in metrics if "[" in key or "knockout" in key]


def test_candidates_of_a_file_are_a_protocol_of_their_own(root: Path) -> None:
    change(root, "evaluate", candidates="wanted.csv", knockout_users=0)
    sequences = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet")
    items = pl.read_parquet(root / "artifacts/shop/prepared/items.parquet")["item_id"].to_list()
    rows = [(user, item) for user in sequences["user_id"][:9] for item in items] + [("nobody", items[0])]
    pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").write_csv(root / "wanted.csv")
    metrics = run_ok(root, "evaluate")
    assert metrics["cases/candidate_rows_of_unknown_users"] == 1
    assert metrics["cases/candidate_users"] == 9
    assert metrics["cases/candidate_targets_named"] == 9
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    # All items as candidates are the full catalog; users of whom the file says nothing have no rank.
    assert ranks["illmrec_candidates"][:9].to_list() == ranks["illmrec_full"][:9].to_list()
    assert ranks["illmrec_candidates"][9:].null_count() == ranks.height - 9
    assert metrics["illmrec/candidates/mrr"] == pytest.approx((1 / ranks["illmrec_full"][:9]).mean())
    (root / "wanted.csv").unlink()
    error = expect_error(root, "evaluate")
    assert isinstance(error, DataError)
    assert error.exit_code == 3
    assert "wanted.csv" in str(error)


def test_a_split_by_time_goes_through_to_the_report(root: Path) -> None:
    change(root, "split", method="global_time", test_share=0.2)
    change(root, "train", epochs=1)
    summary = run_ok(root, "split")
    for stage in ("train-cf", "train", "evaluate", "export"):
        run_ok(root, stage)
    metrics = json.loads((root / "artifacts/shop/evaluation/metrics.json").read_text())
    assert metrics["cases/targets"] == summary["test_targets"] > metrics["cases/users"] == summary["users_with_targets"]
    assert metrics["cases/items"] <= summary["items"]
    assert summary["users_with_targets"] < summary["users"]
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    assert ranks.height == summary["test_targets"]
    means = ranks.group_by("user_index").agg((1 / pl.col("illmrec_full")).mean().alias("mrr"))["mrr"]
    assert metrics["illmrec/full/mrr"] == pytest.approx(means.mean())
    assert np.isfinite(ranks["illmrec_full"].to_numpy()).all()
    run_ok(root, "report")
    page = (root / "work/reports/shop.html").read_text()
    assert f"all before {summary['cutoff']} but the last of each user" in page
