"""The registry end to end: what a version carries, who becomes champion, and the way back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from illmrec.errors import ModelError, NothingToDoError
from illmrec.evaluation.metrics import NDCG_10
from illmrec.evaluation.table import read_metrics
from pipelines.parameters.reading import read_params
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.registry.alias_log import read_log
from pipelines.registry.register import register
from pipelines.registry.registry import Registry
from pipelines.registry.tracking import CHALLENGER, CHAMPION, Tracker
from tests.integration.conftest import expect_error, invoke, run_ok
from tests.metrics_rows import read_printed
from tests.own_project import copy_project, copy_with_outputs

Project = tuple[Path, dict[str, dict[str, Any]]]
NAME = "illmrec-shop"


@pytest.fixture(scope="module")
def project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy for this module: who opens the registry writes to its lock."""
    return copy_with_outputs(project, tmp_path_factory.mktemp("registry") / "project")


@pytest.fixture
def copy(project: Project, tmp_path: Path) -> Path:
    return copy_project(project[0], tmp_path / "project")


@pytest.fixture
def second(copy: Path) -> Path:
    """Return a project in which the same model was registered and promoted a second time."""
    run_ok(copy, "register")
    run_ok(copy, "promote")
    return copy


def resolve(root: Path, alias: str = CHAMPION) -> str:
    return Tracker(root).resolve(NAME, alias).number


def test_a_version_says_what_it_is(project: Project, tmp_path: Path) -> None:
    root, printed = project
    tracker = Tracker(root)
    (version,) = [v for v in tracker.list_versions(NAME) if v.number == printed["register"]["version"]]
    lines = version.description.splitlines()
    assert len(lines) == 3
    assert "synthetic data `shop`" in lines[0]
    assert f"{read_printed(printed['evaluate']).value(NDCG_10, model='illmrec'):.4f} [" in lines[1]
    assert lines[2].startswith("data gate passed")
    note = tracker.client.get_run(version.run_id).data.tags["mlflow.note.content"]
    assert f"of {NAME}." in note
    assert lines[0] in note
    folder = tracker.download(version, tmp_path / "files") / "extra_files"
    model_card = (folder / "model_card.md").read_text()
    for said in (
        "Trained on synthetic data",
        "illmrec rollback --dataset shop",
        version.tags["onnx_sha256"],
        "| sasrec",
    ):
        assert said in model_card
    data_card = (folder / "data_card.md").read_text()
    assert f"| users | {printed['prepare']['users']} |" in data_card
    assert read_metrics(folder / "metrics.parquet").rows == read_printed(printed["evaluate"]).rows
    assert json.loads((folder / "summary.json").read_text()) == printed["evaluate"]["summary"]
    for tag in ("split_sha256", "serving/latency_ms_per_user", "serving/memory_mb", "metric/lists/coverage_at_10"):
        assert version.tags[tag]
    assert len(version.tags) < 50


def test_no_id_of_a_user_is_in_the_registry(project: Project, tmp_path: Path) -> None:
    root, _ = project
    tracker = Tracker(root)
    folder = tracker.download(tracker.resolve(NAME, CHAMPION), tmp_path / "files")
    users = pl.read_parquet(root / "artifacts/shop/prepared/users.parquet")["user_id"].to_list()
    ranks = pl.read_parquet(folder / "extra_files/ranks.parquet")
    assert ranks.height == pl.read_parquet(root / "artifacts/shop/evaluation/ranks.parquet").height
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.suffix in (".json", ".md"))
    content += ranks.write_csv().encode()
    assert not [user for user in users if user.encode() in content]


def test_ranks_that_are_not_those_of_the_figures_are_not_registered(copy: Path) -> None:
    path = copy / "artifacts/shop/evaluation/ranks.parquet"
    worse = pl.read_parquet(path).with_columns(pl.col("illmrec_full") + 1)
    worse.write_parquet(path, metadata=pl.read_parquet_metadata(path))
    error = expect_error(copy, "register")
    assert error.exit_code == 4
    assert "but the ranks give" in str(error)


def test_parts_of_different_trainings_are_not_registered(copy: Path) -> None:
    artifacts = copy / "artifacts/shop"
    ranks, head = artifacts / "evaluation/ranks.parquet", artifacts / "head/head.json"
    whole = ranks.read_bytes()
    pl.read_parquet(ranks).write_parquet(ranks)
    assert "illmrec evaluate" in expect_error(copy, "register").hint, "ranks that name no model"
    ranks.write_bytes(whole)
    about = json.loads(head.read_text())
    head.write_text(json.dumps(about | {"tensors_sha256": "0" * 64}))
    error = expect_error(copy, "register")
    assert "the ONNX head is of another training" in str(error)
    assert "illmrec export" in error.hint
    head.write_text(json.dumps(about))
    run_ok(copy, "register")


def test_features_made_anew_after_the_training_are_not_read(copy: Path) -> None:
    path = copy / "artifacts/shop/features/cf/values.npy"
    np.save(path, -np.load(path))
    for command in ("evaluate", "export", "register"):
        error = expect_error(copy, command)
        assert isinstance(error, ModelError), command
        assert "not the cf features that the model was trained with" in str(error), command
        assert "illmrec train" in error.hint, command


def test_an_identical_model_passes_and_the_way_back_takes_it_off(second: Path) -> None:
    log = Layout(second, "shop").alias_log
    moves = [(entry.alias, entry.action, entry.from_version, entry.to_version) for entry in read_log(log)]
    assert moves == [
        ("challenger", "register", None, "1"),
        ("champion", "promote", None, "1"),
        ("challenger", "register", "1", "2"),
        ("champion", "promote", "1", "2"),
    ]
    assert "difference +0.0000" in read_log(log)[-1].why
    facts = run_ok(second, "rollback", "--why", "a try")
    assert (facts["version"], facts["replaces"], resolve(second)) == ("1", "2", "1")
    assert facts["seconds"] < 10
    assert (read_log(log)[-1].action, read_log(log)[-1].why) == ("rollback", "a try")
    assert isinstance(expect_error(second, "rollback"), NothingToDoError)
    refused = expect_error(second, "promote")
    assert "was rolled back from" in str(refused)
    assert resolve(second) == "1"
    assert run_ok(second, "promote", "--force", "it was the feed, not the model")["forced"] is True
    assert resolve(second) == "2"
    assert read_log(log)[-1].action == "force"
    assert "it was the feed" in read_log(log)[-1].why


def test_no_way_back_to_a_damaged_version(second: Path) -> None:
    shutil.rmtree(second / "work/releases")
    tracker = Tracker(second)
    (old,) = [version for version in tracker.list_versions(NAME) if version.number == "1"]
    model = tracker.client.get_model_version(NAME, old.number).source
    (stored,) = (second / "mlartifacts/models" / model.removeprefix("models:/").split("/")[0]).rglob("model.onnx")
    stored.write_bytes(stored.read_bytes()[:-1] + b"\x00")
    error = expect_error(second, "rollback")
    assert error.exit_code == 4
    assert "onnx_sha256" in str(error)
    assert resolve(second) == "2"


def test_a_changed_log_stops_every_move(second: Path) -> None:
    log = Layout(second, "shop").alias_log
    log.write_text(log.read_text().replace("registered", "rejected!!", 1))
    for command in ("rollback", "register"):
        error = expect_error(second, command)
        assert "chain of the audit log is broken" in str(error)
    assert resolve(second) == "2"
    log.unlink()
    assert "the registry knows 4 lines" in str(expect_error(second, "rollback"))
    assert invoke(second, "registry", "log", "--dataset", "shop", "--accept", "restored").exit_code == 0
    assert isinstance(expect_error(second, "rollback"), NothingToDoError)


def test_the_list_and_the_log_are_readable_by_machines(second: Path) -> None:
    listed = json.loads(invoke(second, "registry", "list", "--dataset", "shop", "--json").stdout)
    newest, oldest = listed["versions"]
    assert (newest["version"], newest["aliases"]) == ("2", ["challenger", "champion"])
    assert oldest["aliases"] == []
    assert newest["low"] <= newest["ndcg@10"] <= newest["high"]
    entries = json.loads(invoke(second, "registry", "log", "--dataset", "shop", "--json").stdout)
    assert [entry["number"] for entry in entries] == [1, 2, 3, 4]


LEARNING = {
    "epochs: 2, batch_size: 16, checkpoint_steps: 2": (
        "epochs: 15, batch_size: 8, checkpoint_steps: 500, validate_every: 5, learning_rate: 0.003, "
        "retrieval_loss: cross_entropy, retrieval_scores: sum"
    ),
    "promote: {popularity_margin: null, ": "promote: {margin: 0.02, ",
}
"""Changes of the parameters with which sixty users are enough to learn something."""


def test_a_model_trained_on_shuffled_labels_is_refused(copy: Path) -> None:
    params = (copy / "params.yaml").read_text()
    for old, new in LEARNING.items():
        assert old in params
        params = params.replace(old, new)
    (copy / "params.yaml").write_text(params)
    for command in ("train", "evaluate", "export", "register"):
        run_ok(copy, command)
    run_ok(copy, "promote", "--force", "a champion that learned something")
    path = copy / "artifacts/shop/split/sequences.parquet"
    original = path.read_bytes()
    shuffle_labels(path)
    run_ok(copy, "train")
    path.write_bytes(original)  # the test targets and histories are the true ones
    for command in ("evaluate", "export", "register"):
        run_ok(copy, command)
    error = expect_error(copy, "promote")
    assert "quality: fails; paired" in str(error)
    assert "popularity: fails; full/ndcg@10" in str(error)
    assert (resolve(copy), resolve(copy, CHALLENGER)) == ("2", "3")


def shuffle_labels(path: Path) -> None:
    """Give every user items of other users, as many as before."""
    table, rng = pl.read_parquet(path), np.random.default_rng(1)
    items = rng.permutation(table["train"].explode().to_numpy())
    ends = np.cumsum(table["train"].list.len().to_list())
    rows = [part.tolist() for part in np.split(items, ends[:-1])]
    valid = pl.Series("valid", rng.permutation(table["valid"].to_numpy()), pl.Int32)
    table.with_columns(pl.Series("train", rows, pl.List(pl.Int32)), valid).write_parquet(path)


def move_on(root: Path) -> None:
    """Give every second user another test target, as new data would, and register the model on the new split."""
    split = root / "artifacts/shop/split"
    sequences = pl.read_parquet(split / "sequences.parquet")
    flip = pl.col("user_index") % 2 == 0
    moved = sequences.with_columns(
        test=pl.when(flip).then("valid").otherwise("test"), valid=pl.when(flip).then("test").otherwise("valid")
    )
    moved.write_parquet(split / "sequences.parquet")
    targets = moved.select("user_index", item_index="test")
    targets.write_parquet(split / "targets.parquet")
    for command in ("evaluate", "export", "register"):
        run_ok(root, command)


def test_where_targets_moved_on_the_champion_is_ranked_on_todays(copy: Path) -> None:
    move_on(copy)
    facts = run_ok(copy, "promote")
    # The same model: what was registered and what was ranked again just now must agree to the last digit.
    assert facts["check_quality"].startswith("holds; re-evaluated (the test targets are others than the champion's)")
    assert "difference +0.0000 [+0.0000, +0.0000]" in facts["check_quality"]


def test_a_champion_that_cannot_be_ranked_today_is_compared_unpaired_and_named_so(copy: Path) -> None:
    move_on(copy)
    path = copy / "artifacts/shop/encoders/encoders.json"
    encoders = json.loads(path.read_text())
    encoders["text"]["revision"] = "version:9.9.9"
    path.write_text(json.dumps(encoders))
    error = expect_error(copy, "promote")  # two groups of sixty users tell nothing this fine apart
    assert isinstance(error, ModelError)
    assert "quality: fails; unpaired (the champion cannot be ranked on today's split" in str(error)
    assert "version:9.9.9" in str(error)
    params = copy / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("promote: {", "promote: {unpaired: refuse, "))
    assert "quality: required, but not checked" in str(expect_error(copy, "promote"))


def test_once_registers_the_same_model_once_and_another_anew(copy: Path) -> None:
    def open_context() -> Context:
        return Context(Layout(copy, "shop"), read_params(copy / "params.yaml"))

    registry = Registry(open_context())
    receipts = list(registry.layout.receipts.glob("*-register.json"))
    first = register(open_context(), once=True)
    assert (first.version, first.mlflow_run) == ("1", registry.challenger.run_id)
    assert list(registry.layout.receipts.glob("*-register.json")) == receipts
    profile = registry.layout.quality / "profile.json"
    profile.write_text(profile.read_text() + "\n")  # other data, though the same model
    assert register(open_context(), once=True).version == "2"
    assert register(open_context(), once=True).version == "2"
    assert [version.number for version in registry.list_versions()] == ["2", "1"]
    assert [entry.action for entry in registry.read_log()] == ["register", "promote", "register"]
