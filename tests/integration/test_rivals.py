"""``illmrec rivals`` on a small synthetic catalog: tables, ranks, what is kept, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from illmrec.data.catalog import Catalog
from illmrec.errors import MissingArtifactError, ParameterError
from illmrec.features.matrix import MatrixHeader, write_matrix
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.project.layout import Layout
from pipelines.studies.rivals import runs, training
from pipelines.studies.rivals.catalogue import choose_start
from pipelines.studies.rivals.data import load_rival_data
from pipelines.studies.rivals.runs import run_rival
from pipelines.studies.rivals.training import Task
from tests.integration.conftest import expect_error, invoke, make_project, run_ok

SECTION = {"epochs": 2, "validate_every": 1, "batch_size": 32, "max_length": 10, "trials": 0, "seeds": 1}
ALL = "popularity,repeat,last-item,item-knn,bpr,vbpr,gru4rec,bert4rec,sasrec,sasrec-gbce,sasrec-ce"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take a small project up to the split, with picture features that are random."""
    root = make_project(tmp_path_factory.mktemp("rivals"))
    for stage in ("prepare", "validate", "split"):
        run_ok(root, stage)
    change_section(root, **SECTION)
    write_features(root, 0)
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))


def change_section(root: Path, **values: Any) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["rivals"] = (params.get("rivals") or {}) | values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def write_features(root: Path, seed: int) -> None:
    layout = Layout(root, "shop")
    catalog = Catalog(pl.read_parquet(layout.prepared / "items.parquet"))
    values = np.random.default_rng(seed).normal(size=(len(catalog), 6)).astype(np.float32)
    header = MatrixHeader(
        kind="image", encoder="random", revision="none", width=6, normalisation="rms", item_digest=catalog.digest,
        missing=0, missing_policy="mean",
    )  # fmt: skip
    write_matrix(layout.features("image"), header, values, np.ones(len(catalog), dtype=np.bool_))


def results(root: Path) -> Path:
    return root / "work/studies/shop/rivals"


def test_every_rival_is_ranked_on_the_same_targets(root: Path) -> None:
    facts = run_ok(root, "rivals", "--models", ALL)
    folder, rows = results(root), facts["rows"]
    assert [row["rival"] for row in rows] == ALL.split(",")
    assert json.loads((folder / "results.json").read_text()) == facts
    targets = pl.read_parquet(root / "artifacts/shop/split/targets.parquet")
    for row in rows:
        ranks = pl.read_parquet(folder / row["ranks"])
        assert ranks.select("user_index", "item_index").equals(targets)
        assert row["hit@10"] == pytest.approx((ranks["rank"] <= 10).mean())
        assert row["mrr"] == pytest.approx((1 / ranks["rank"]).mean())
        for metric in ("hit@5", "hit@10", "ndcg@5", "ndcg@10", "mrr"):
            assert row[f"{metric}.low"] <= row[metric] <= row[f"{metric}.high"], (row["rival"], metric)
        assert 0 <= row["validation_ndcg@10"] <= 1
        assert row["trials"] == 0
    assert len({row["mrr"] for row in rows}) == len(rows), "models differ"
    table = pl.read_csv(folder / "results.csv", infer_schema_length=None)
    assert table["mrr"].to_list() == [row["mrr"] for row in rows]
    assert json.loads(table["parameters"][8]) == rows[8]["parameters"]
    assert pl.read_csv(folder / "summary.csv")["rival"].to_list() == ALL.split(",")


def test_popularity_is_what_the_plain_count_says(root: Path) -> None:
    (row,) = run_ok(root, "rivals", "--models", "popularity")["rows"]
    sequences = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet")
    items = pl.read_parquet(root / "artifacts/shop/prepared/items.parquet").height
    counts = np.bincount(sequences["train"].explode().to_numpy(), minlength=items)
    ranks = []
    for train, valid, test in sequences.select("train", "valid", "test").iter_rows():
        others = [item for item in range(items) if item not in {*train, valid, test}]
        above = sum(counts[item] > counts[test] for item in others)
        ranks.append(1 + above + sum(counts[item] == counts[test] for item in others) / 2)
    assert pl.read_parquet(results(root) / row["ranks"])["rank"].to_list() == ranks


def test_seeds_are_rows_of_their_own_and_one_summary(root: Path) -> None:
    facts = run_ok(root, "rivals", "--models", "sasrec,popularity", "--seeds", "3")
    mine = [row for row in facts["rows"] if row["rival"] == "sasrec"]
    assert [row["seed"] for row in mine] == [0, 1, 2]
    assert len({row["mrr"] for row in mine}) == 3
    assert len(facts["rows"]) == 4, "a rival without a seed is run once"
    summary = facts["summary"][0]
    assert summary["mrr"] == pytest.approx(np.mean([row["mrr"] for row in mine]))
    assert summary["mrr.sd"] == pytest.approx(np.std([row["mrr"] for row in mine], ddof=1))
    assert summary["seeds"] == 3
    assert "mrr.sd" not in facts["summary"][1]


def test_tuning_takes_the_best_trial_and_does_not_see_the_test_targets(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--models", "item-knn,last-item", "--trials", "6")
    (untuned,) = run_ok(root, "rivals", "--models", "item-knn")["rows"]
    facts = run_ok(root, "rivals", *options)
    assert facts["trials"][0]["seconds"] == untuned["seconds"], (
        "a training that was there is a trial, and not made again"
    )
    trials, row = facts["trials"], facts["rows"][0]
    assert [trial["trial"] for trial in trials] == list(range(6)), "last-item has nothing to tune"
    best = max(trials, key=lambda trial: trial["validation_ndcg@10"])
    assert row["parameters"] == json.loads(best["parameters"])
    assert row["validation_ndcg@10"] == best["validation_ndcg@10"]
    assert row["trials"] == 6
    assert pl.read_csv(results(root) / "trials.csv").height == 6
    assert len(list((results(root) / "runs").iterdir())) == 6 + 1, "the best trial is the training that is reported"
    shutil.rmtree(results(root))
    path = root / "artifacts/shop/split/targets.parquet"
    pl.read_parquet(path).with_columns(item_index=pl.col("item_index").reverse()).write_parquet(path)
    other = run_ok(root, "rivals", *options)
    assert [trial["validation_ndcg@10"] for trial in other["trials"]] == [
        trial["validation_ndcg@10"] for trial in trials
    ]
    assert other["rows"][0]["mrr"] != row["mrr"]


def test_what_was_found_is_kept_until_something_it_depends_on_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--models", "bpr,item-knn", "--trials", "2")
    first = run_ok(root, "rivals", *options)
    assert run_ok(root, "rivals", *options) == first, "seconds included: nothing was trained again"
    change_section(root, pair_batch_size=16)
    changed = run_ok(root, "rivals", *options)
    assert changed["rows"][0]["ranks"] != first["rows"][0]["ranks"]
    assert changed["rows"][0]["mrr"] != first["rows"][0]["mrr"]


def test_rivals_of_an_earlier_command_stay_in_the_table_while_they_compare(root: Path) -> None:
    run_ok(root, "rivals", "--models", "item-knn,last-item")
    both = run_ok(root, "rivals", "--models", "popularity,last-item")
    assert [row["rival"] for row in both["summary"]] == ["popularity", "last-item", "item-knn"]
    change_section(root, batch_size=16)
    assert [row["rival"] for row in run_ok(root, "rivals", "--models", "popularity")["summary"]] == ["popularity"]


def test_damaged_ranks_are_made_again(root: Path) -> None:
    first = run_ok(root, "rivals", "--models", "item-knn")
    path = results(root) / first["rows"][0]["ranks"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    again = run_ok(root, "rivals", "--models", "item-knn")
    assert path.read_bytes() == whole
    assert again["rows"][0]["mrr"] == first["rows"][0]["mrr"]


def test_other_pictures_are_another_vbpr(root: Path) -> None:
    first = run_ok(root, "rivals", "--models", "vbpr,bpr")
    write_features(root, 1)
    again = run_ok(root, "rivals", "--models", "vbpr,bpr")
    assert again["rows"][0]["ranks"] != first["rows"][0]["ranks"]
    assert again["rows"][1] == first["rows"][1]


def test_vbpr_reads_pictures_less_their_mean(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Layout(root, "shop").features("image") / "values.npy"
    np.save(path, np.load(path) + np.float16(3))
    read: list[np.ndarray] = []
    monkeypatch.setattr(training, "_fit_pairs", lambda task, features, label: read.append(features))
    training.fit_vbpr(Task(load_rival_data(Layout(root, "shop")), {}, RivalsConfig(), 0))
    assert np.abs(read[0].mean(axis=0)).max() < 1e-3
    assert np.sqrt(np.square(read[0]).mean()) == pytest.approx(1.0, abs=1e-4)


def test_results_so_far_are_written_when_a_run_is_stopped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def stop_in_the_second(*arguments: Any) -> Any:
        done.append(arguments[0])
        if len(done) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    original = runs._train_and_rank
    monkeypatch.setattr(runs, "_train_and_rank", stop_in_the_second)
    invoke(root, "rivals", "--dataset", "shop", "--models", "popularity,last-item")
    assert [row["rival"] for row in json.loads((results(root) / "results.json").read_text())["rows"]] == ["popularity"]
    run_ok(root, "rivals", "--models", "popularity,last-item")
    assert done == ["popularity", "last-item", "last-item"], "popularity was kept"


def test_a_table_is_shown_and_progress_goes_to_stderr(root: Path) -> None:
    result = invoke(root, "rivals", "--dataset", "shop", "--models", "popularity,item-knn")
    assert result.exit_code == 0, result.output
    assert "ItemKNN" in result.stdout
    assert "results.json" in result.stdout
    assert "validation NDCG@10" in result.stderr
    assert "validation NDCG@10" not in result.stdout


def test_unknown_rivals_and_missing_pictures_are_named_before_anything_runs(root: Path) -> None:
    error = expect_error(root, "rivals", "--models", "popularity,sasrek")
    assert isinstance(error, ParameterError)
    assert "sasrek" in str(error)
    assert "'sasrec'" in error.hint
    shutil.rmtree(root / "artifacts/shop/features/image")
    error = expect_error(root, "rivals", "--models", "popularity,vbpr")
    assert isinstance(error, MissingArtifactError)
    assert "embed-images" in error.hint
    change_section(root, start={"sasrec": {"depth": 3}})
    error = expect_error(root, "rivals", "--models", "popularity,sasrec")
    assert "rivals.start.sasrec.depth" in str(error)
    assert not results(root).exists()


def test_the_split_must_have_run(root: Path) -> None:
    shutil.rmtree(root / "artifacts/shop/split")
    error = expect_error(root, "rivals", "--models", "popularity")
    assert isinstance(error, MissingArtifactError)
    assert "illmrec split" in error.hint


@pytest.mark.parametrize("name", ALL.split(","))
def test_a_users_ranks_do_not_depend_on_who_else_is_ranked(root: Path, name: RivalName) -> None:
    data, config = load_rival_data(Layout(root, "shop")), RivalsConfig(**SECTION)
    chosen = np.array([9, 2, 30])
    fewer = dataclasses.replace(data, test=data.test.choose(chosen))
    everyone, some = (
        run_rival(name, Task(each, choose_start(name, config), config, 0), root / place).ranks()
        for each, place in ((data, "everyone"), (fewer, "some"))
    )
    assert some.tolist() == everyone[chosen].tolist()
    assert len(everyone) == len(data.sequences)


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("sasrec", {"loss": "bce"}),
        ("sasrec-ce", {"loss": "cross_entropy"}),
        ("sasrec-gbce", {"loss": "gbce", "negatives": 256, "negative_sharing": "step", "gbce_calibration": 0.75}),
    ],
)
def test_the_same_training_as_for_the_cf_features(root: Path, name: str, loss: dict[str, Any]) -> None:
    (row,) = run_ok(root, "rivals", "--models", name)["rows"]
    params = yaml.safe_load((root / "params.yaml").read_text())
    shape = {key: row["parameters"][key] for key in ("width", "blocks", "heads", "dropout", "learning_rate")}
    bounds = {key: SECTION[key] for key in ("epochs", "validate_every", "batch_size", "max_length")}
    params["train_cf"] = {**shape, **bounds, **loss, "patience": 5}
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    facts = run_ok(root, "train-cf")
    assert facts["validation_ndcg@10"] == row["validation_ndcg@10"]
    assert facts["best_epoch"] == row["best_epoch"]
