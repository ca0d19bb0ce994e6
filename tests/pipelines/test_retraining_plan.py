"""The steps of a retraining are the stages of the graph, with the exceptions that it is there for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.commands.preset import FOLDER
from pipelines.graph import STAGES
from pipelines.growth.retraining import plan_steps
from pipelines.growth.step_log import Step
from pipelines.parameters.features import EncodersConfig
from pipelines.parameters.reading import read_params
from pipelines.project.context import Context
from pipelines.project.layout import Layout


@pytest.fixture
def context(tmp_path: Path) -> Context:
    shutil.copy(FOLDER / "sample.yaml", tmp_path / "params.yaml")
    return Context(Layout(tmp_path, "amazon"), read_params(tmp_path / "params.yaml"))


def plan(context: Context, start: str = "compare", *, promotes: bool = True) -> dict[str, Step]:
    return {step.name: step for step in plan_steps(context, start, promotes=promotes, run=lambda _: None)}


def test_every_stage_is_a_step_in_the_order_of_the_data(context: Context) -> None:
    commands = [stage.command for stage in STAGES]
    place = commands.index("train")
    trained = ["train-scratch", "train-warm", "choose"]
    expected = [*commands[:place], *trained, *commands[place + 1 :], "register", "promote"]
    assert list(plan(context)) == expected
    (context.layout.root / ".dvc").mkdir()
    (context.layout.root / "dvc.yaml").touch()
    assert list(plan(context, promotes=False)) == [*expected[:-2], "record", "register"]


@pytest.mark.parametrize(("start", "trained"), [("scratch", ["train-scratch"]), ("warm", ["train-warm"])])
def test_one_start_is_trained_alone_and_chosen_all_the_same(context: Context, start: str, trained: list[str]) -> None:
    assert [name for name in plan(context, start) if name.startswith(("train-s", "train-w", "choose"))] == [
        *trained,
        "choose",
    ]


def test_what_a_step_reads_was_written_by_one_before(context: Context) -> None:
    written = [context.layout.root / "data" / "amazon"]
    for step in plan(context).values():
        for path in step.reads:
            assert any(path.is_relative_to(place) or place.is_relative_to(path) for place in written), (step.name, path)
        written += step.writes


def test_encoders_are_kept_whatever_the_catalog(context: Context) -> None:
    steps = plan(context)
    assert [name for name, step in steps.items() if step.adopts] == ["encoders"]
    assert steps["encoders"].reads == ()


def test_the_log_of_an_earlier_release_still_knows_the_encoders(context: Context) -> None:
    assert plan(context)["encoders"].settings == context.section(EncodersConfig).model_dump(mode="json")


def test_a_stage_that_reads_another_section_is_outdated_by_it(context: Context) -> None:
    assert plan(context)["validate"].settings["prepare"]["folder"] == "data/amazon"
