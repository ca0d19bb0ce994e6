"""``illmrec evaluate``: every part of it on the small project, and on a split by time."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from illmrec.errors import DataError
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric
from illmrec.evaluation.table import INTACT, LISTS, Where, read_metrics
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from tests.integration.conftest import expect_error, invoke, run_ok
from tests.metrics_rows import read_printed
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
    metrics = read_printed(project[1]["evaluate"])
    names = [*(Metric(name, k) for name in ("hit", "ndcg", "mrr") for k in CUTOFFS), MRR]
    for protocol in ("full", "sampled", "popular"):
        for name in names:
            for model in MODELS:
                mean = metrics.interval(name, model=model, protocol=protocol)
                assert mean.low <= mean.value <= mean.high
            for first, second in itertools.combinations(MODELS, 2):
                difference = metrics.compare(name, model=first, against=second, protocol=protocol)
                means = [metrics.value(name, model=model, protocol=protocol) for model in (first, second)]
                assert difference.estimate.value == pytest.approx(means[0] - means[1])
                assert 0 < difference.p <= difference.holm <= 1


def test_what_is_printed_is_what_lies_in_the_files(project: Project) -> None:
    root, printed = project
    folder = root / "artifacts/shop/evaluation"
    assert read_metrics(folder / "metrics.parquet").rows == read_printed(printed["evaluate"]).rows
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == printed["evaluate"]["summary"]
    assert len(summary) == 11
    assert summary["ndcg10"] == round(read_printed(printed["evaluate"]).value(NDCG_10, model="illmrec"), 4)
    assert not (folder / "metrics.json").exists()


def test_the_terminal_shows_counts_means_and_wrong_pictures(root: Path) -> None:
    shown = invoke(root, "evaluate", "--dataset", "shop").stdout
    metrics = Shelf(Layout(root, "shop")).metrics
    assert re.search(rf"^users +{metrics.count('users')}$", shown, re.MULTILINE)
    for protocol in ("full", "lists"):
        for row in metrics.select(model="illmrec", variant=None, against=None, protocol=protocol):
            assert re.search(rf"{protocol} +. {row.name} +. {row.value:.4f} ", shown), row.label
    for row in metrics.select(NDCG_10, against="intact"):
        what, place = ("titles", "prompt") if row.place == "titles" else ("pictures", row.place)
        assert re.search(rf"{what} +. {row.variant} +. {place} +. {row.value:.4f} ", shown), row.label


def test_metrics_are_those_of_the_ranks(project: Project) -> None:
    root, printed = project
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    targets = pl.read_parquet(root / "artifacts/shop/split/targets.parquet")
    assert ranks.select(targets.columns).equals(targets)
    metrics = read_printed(printed["evaluate"])
    for model in MODELS:
        for protocol in ("full", "sampled", "popular"):
            found = ranks[f"{model}_{protocol}"].to_numpy()
            where: Where = {"model": model, "protocol": protocol}
            assert metrics.value(HIT_10, **where) == pytest.approx((found <= 10).mean())
            assert metrics.value(MRR, **where) == pytest.approx((1 / found).mean())


def test_slices_add_up_to_the_whole(project: Project) -> None:
    root, printed = project
    table = pl.read_csv(root / "artifacts/shop/evaluation/slices.csv")
    metrics = read_printed(printed["evaluate"])
    users = metrics.count("users")
    for (_, model), rows in table.group_by("group", "model"):
        assert rows["targets"].sum() == users
        total = (rows["targets"] * rows["ndcg@10"]).sum() / users
        assert total == pytest.approx(metrics.value(NDCG_10, model=str(model)))
    assert {"target's popularity", "history length", "target's picture"} <= set(table["group"])


def test_lists_of_popularity_are_those_of_a_plain_count(project: Project) -> None:
    root, printed = project
    metrics = read_printed(printed["evaluate"])
    sequences = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet")
    items = pl.read_parquet(root / "artifacts/shop/prepared/items.parquet").height
    counts = np.bincount(sequences["train"].explode().to_numpy(), minlength=items)
    order = np.argsort(-counts, kind="stable").tolist()
    information = -np.log2((counts + 1) / (counts.sum() + items))
    histories = [{*train, valid} for train, valid in sequences.select("train", "valid").rows()]
    for k in CUTOFFS:
        lists = [[item for item in order if item not in history][:k] for history in histories]
        shown = len({item for row in lists for item in row}) / items
        assert metrics.value(Metric("coverage", k), model="popularity", protocol=LISTS) == pytest.approx(shown)
        novelty = np.mean([information[row].mean() for row in lists])
        assert metrics.value(Metric("novelty", k), model="popularity", protocol=LISTS) == pytest.approx(novelty)
        for model in MODELS:
            where: Where = {"model": model, "protocol": LISTS}
            assert 0 < metrics.value(Metric("coverage", k), **where) <= 1
            assert 0 < metrics.value(Metric("gini", k), **where) < 1
            assert 0 < metrics.interval(Metric("miscalibration", k), **where).low < np.log2(100)
    tied = [metrics.value(Metric("tied_share"), model=model) for model in ("illmrec", "popularity")]
    assert tied[0] < 0.5 < tied[1]


def test_wrong_pictures_and_titles_are_beside_the_intact_model_and_in_the_registry(project: Project) -> None:
    from pipelines.registry.tracking import CHAMPION, Tracker

    root, printed = project
    metrics = read_printed(printed["evaluate"])
    assert metrics.count("knockout_users") == metrics.count("users")
    intact = metrics.value(NDCG_10, model="illmrec", variant=INTACT)
    assert intact == pytest.approx(metrics.value(NDCG_10, model="illmrec"))
    tagged = json.loads(Tracker(root).resolve("illmrec-shop", CHAMPION).tags["knockouts"])
    gaps = []
    for wrong in ("shuffled", "constant", "noise"):
        for place in ("prompt", "retrieval", "both"):
            where: Where = {"model": "illmrec", "variant": wrong, "place": place}
            gap = metrics.value(NDCG_10, **where) - intact
            assert metrics.compare(NDCG_10, against=INTACT, **where).estimate.value == pytest.approx(gap)
            value, low, high = tagged[f"{wrong} in {place}"]
            assert value == pytest.approx(gap, abs=1e-6)
            assert low <= high
            gaps.append(gap)
    assert len({round(gap, 9) for gap in gaps}) > 3
    for wrong in ("shuffled", "left out"):
        gap = metrics.compare(NDCG_10, model="illmrec", variant=wrong, place="titles", against=INTACT)
        assert tagged[f"titles {wrong}"][0] == pytest.approx(gap.estimate.value, abs=1e-6)


def test_fewer_users_or_none_may_get_wrong_pictures(root: Path) -> None:
    change(root, "evaluate", knockout_users=7)
    metrics = read_printed(run_ok(root, "evaluate"))
    assert metrics.count("knockout_users") == 7
    assert metrics.value(MRR, model="illmrec", variant=INTACT) != metrics.value(MRR, model="illmrec")
    change(root, "evaluate", knockout_users=0)
    metrics = read_printed(run_ok(root, "evaluate"))
    assert not [row for row in metrics.rows if row.variant or row.place or "knockout" in row.metric]


def test_candidates_of_a_file_are_a_protocol_of_their_own(root: Path) -> None:
    change(root, "evaluate", candidates="wanted.csv", knockout_users=0)
    sequences = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet")
    items = pl.read_parquet(root / "artifacts/shop/prepared/items.parquet")["item_id"].to_list()
    rows = [(user, item) for user in sequences["user_id"][:9] for item in items] + [("nobody", items[0])]
    pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").write_csv(root / "wanted.csv")
    metrics = read_printed(run_ok(root, "evaluate"))
    assert metrics.count("candidate_rows_of_unknown_users") == 1
    assert metrics.count("candidate_users") == 9
    assert metrics.count("candidate_targets_named") == 9
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    # All items as candidates are the full catalog; users of whom the file says nothing have no rank.
    assert ranks["illmrec_candidates"][:9].to_list() == ranks["illmrec_full"][:9].to_list()
    assert ranks["illmrec_candidates"][9:].null_count() == ranks.height - 9
    assert metrics.value(MRR, model="illmrec", protocol="candidates") == pytest.approx(
        (1 / ranks["illmrec_full"][:9]).mean()
    )
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
    metrics = Shelf(Layout(root, "shop")).metrics
    assert metrics.count("targets") == summary["test_targets"] > metrics.count("users") == summary["users_with_targets"]
    assert metrics.count("items") <= summary["items"]
    assert summary["users_with_targets"] < summary["users"]
    ranks = pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet")
    assert ranks.height == summary["test_targets"]
    means = ranks.group_by("user_index").agg((1 / pl.col("illmrec_full")).mean().alias("mrr"))["mrr"]
    assert metrics.value(MRR, model="illmrec") == pytest.approx(means.mean())
    assert np.isfinite(ranks["illmrec_full"].to_numpy()).all()
    run_ok(root, "report")
    page = (root / "work/reports/shop.html").read_text()
    assert f"all before {summary['cutoff']} but the last of each user" in page
