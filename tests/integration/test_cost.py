"""``illmrec cost``: what it counts is what is computed, and it leaves no trace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from illmrec.errors import MissingArtifactError
from illmrec.training.cost import count_scoring, count_validations
from pipelines.assembly.recommender import load_recommender
from pipelines.assembly.trainer import make_trainer
from pipelines.commands.cost import describe_seconds
from pipelines.parameters.reading import read_params
from pipelines.parameters.training import TrainConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from tests.integration.conftest import expect_error, invoke, run_ok
from tests.metrics_rows import read_printed
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def root(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(project[0], tmp_path_factory.mktemp("cost") / "project")


@pytest.fixture(scope="module")
def facts(root: Path) -> dict[str, Any]:
    return run_ok(root, "cost", "--seconds", "0.2")


def test_steps_and_users_are_those_of_the_commands(project: Project, facts: dict[str, Any]) -> None:
    printed = project[1]
    assert facts["train/steps"] == printed["train"]["steps"]
    assert facts["recommend/users"] == facts["evaluate/users"] == read_printed(printed["evaluate"]).count("users")
    assert facts["evaluate/steps"] is None


def test_tokens_of_a_night_are_those_of_its_prompts(root: Path, facts: dict[str, Any]) -> None:
    layout = Layout(root, "shop")
    model, sequences = load_recommender(Shelf(layout), layout.model), Shelf(layout).sequences
    histories = sequences.histories("test")
    expected = 0
    for user in range(len(sequences)):
        shown = histories[user][-model.history_limit :]
        expected += sum(len(model.prompt.items[int(item)]) for item in shown) + len(model.prompt.instruction) + 1
    assert facts["recommend/tokens"] == expected
    weights = sum(value.numel() for value in model.backbone.decoder.layers.parameters())
    comparing = 4 * 2 * model.backbone.width * expected / len(sequences)
    assert facts["recommend/tflop"] == pytest.approx(1e-12 * expected * (2 * weights + comparing), rel=0.02)


def test_figures_are_positive_and_grow_with_the_work(root: Path, facts: dict[str, Any], tmp_path: Path) -> None:
    for name in ("train", "evaluate", "recommend"):
        assert all(facts[f"{name}/{key}"] > 0 for key in ("tokens", "tflop", "seconds", "memory_mb"))
        assert facts[f"{name}/seconds_low"] <= facts[f"{name}/seconds"] <= facts[f"{name}/seconds_high"]
    assert facts["cores"] == os.cpu_count()
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"] |= {"epochs": 6, "title_tokens": 4}
    other = Path(shutil.copytree(root, tmp_path / "other"))
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    changed = run_ok(other, "cost", "--seconds", "0.1")
    assert changed["train/steps"] == 3 * facts["train/steps"]
    assert changed["train/tokens"] < 3 * facts["train/tokens"]
    assert changed["recommend/tokens"] < facts["recommend/tokens"]


def test_each_of_two_stages_is_priced_by_its_own_prompts(root: Path, facts: dict[str, Any], tmp_path: Path) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"] |= {"epochs": 1, "alignment_epochs": 1}
    other = Path(shutil.copytree(root, tmp_path / "other"))
    (other / "params.yaml").write_text(yaml.safe_dump(params))
    changed = run_ok(other, "cost", "--seconds", "0.1")
    assert changed["train/steps"] == facts["train/steps"], "one epoch of each, in place of two of both"
    # The history is read in both stages, but each asks only half of the questions.
    assert 0.4 * facts["train/tokens"] < changed["train/tokens"] < facts["train/tokens"]


def test_another_size_is_priced_with_the_same_prompts(root: Path, facts: dict[str, Any]) -> None:
    users, items = 1000 * facts["recommend/users"], 50_000
    large = run_ok(root, "cost", "--seconds", "0.1", "--users", str(users), "--items", str(items))
    for name in ("train", "evaluate", "recommend"):
        assert large[f"{name}/users"] == users
        assert large[f"{name}/tokens"] == pytest.approx(1000 * facts[f"{name}/tokens"], rel=1e-6)
        assert large[f"{name}/tflop"] == pytest.approx(1000 * facts[f"{name}/tflop"], rel=1e-6)
    assert large["train/steps"] == pytest.approx(1000 * facts["train/steps"], rel=1e-6)
    compared = users * items / large["scores_per_second"]
    read = large["recommend/tokens"] / large["score_tokens_per_second"]
    assert large["recommend/seconds"] == pytest.approx(compared + read, rel=0.01)
    vectors = 4 * 16 * 3  # bytes of a vector: width 16 for each of three types
    assert large["evaluate/memory_mb"] - large["recommend/memory_mb"] == pytest.approx(users * vectors / 1e6, rel=0.2)
    assert large["recommend/disk_mb"] == pytest.approx(1000 * facts["recommend/disk_mb"], rel=1e-6)


def test_nothing_is_written(root: Path, facts: dict[str, Any]) -> None:
    assert facts
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert invoke(root, "cost", "--dataset", "shop", "--seconds", "0.1").exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_table_is_for_people(root: Path) -> None:
    lines = invoke(root, "cost", "--dataset", "shop", "--seconds", "0.1").stdout.splitlines()
    assert lines[0].split() == ["users", "steps", "tokens", "TFLOP", "time", "measured", "memory", "disk"]
    assert [line.split()[0] for line in lines[1:4]] == ["train", "evaluate", "recommend"]


def test_what_must_run_before_is_named(root: Path, tmp_path: Path) -> None:
    bare = Path(shutil.copytree(root, tmp_path / "bare"))
    shutil.rmtree(bare / "artifacts/shop/features/cf")
    error = expect_error(bare, "cost")
    assert isinstance(error, MissingArtifactError)
    assert "train-cf --dataset shop" in error.hint


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.4, "3 s"), (119, "119 s"), (120, "2.0 min"), (9000, "2.5 h"), (200_000, "2.3 d")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


def test_validations_are_counted_with_training(root: Path, tmp_path: Path) -> None:
    context = Context(Layout(root, "shop"), read_params(root / "params.yaml"))
    config = context.section(TrainConfig).model_copy(update={"epochs": 6, "validate_every": 2})
    trainer = make_trainer(context.shelf, config, checkpoints=tmp_path / "never")
    histories = context.shelf.sequences.histories("test")
    rows = [histories[user] for user in range(len(context.shelf.sequences))]
    once = count_scoring(trainer.recommender, rows).tokens
    assert count_validations(trainer, trainer.recommender, rows, 10 * len(rows)) == 3 * once
    half = count_validations(trainer, trainer.recommender, rows, len(rows) // 2)
    assert half == pytest.approx(1.5 * once, rel=0.02)
