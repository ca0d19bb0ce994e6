"""`illmrec release`: order of the steps, what stops it and what does not."""

from pathlib import Path

import click
import pytest

from illmrec.errors import IllmrecError, LockedError, ModelError, NothingToDoError
from pipelines.commands import release
from pipelines.parameters.reading import read_params

PARAMS = Path(__file__).parents[2] / "params.yaml"
ORDER = ["register", "promote", "recommend", "report"]


class Recorder:
    """A group with the real `release` and stand-ins for its steps, each of which may raise."""

    def __init__(self, faults: dict[str, IllmrecError] | None = None) -> None:
        self.calls: list[tuple[str, str, str | None, bool]] = []
        self.group = click.Group("illmrec", commands={"release": release.command})
        for step in release.STEPS:
            self.group.add_command(self._stand_in(step, (faults or {}).get(step)), step)

    def _stand_in(self, step: str, fault: IllmrecError | None) -> click.Command:
        @click.command()
        @click.option("--dataset", required=True)
        @click.option("--json", "as_json", is_flag=True)
        def plain(dataset: str, as_json: bool, date: str | None = None) -> None:
            self.calls.append((step, dataset, date, as_json))
            if fault:
                raise fault

        return click.option("--date", required=True)(plain) if step == "recommend" else plain

    def run(self, *arguments: str) -> None:
        self.group.main(["release", *arguments], obj=(PARAMS.parent, PARAMS), standalone_mode=False)


def test_every_data_set_goes_through_the_steps_in_order() -> None:
    recorder = Recorder()
    recorder.run("--date", "2026-01-31")
    datasets = list(dict.fromkeys(dataset for _, dataset, _, _ in recorder.calls))
    assert datasets == read_params(PARAMS).datasets
    for dataset in datasets:
        assert [step for step, name, _, _ in recorder.calls if name == dataset] == ORDER
    assert {date for step, _, date, _ in recorder.calls if step == "recommend"} == {"2026-01-31"}


def test_chosen_data_sets_and_json_reach_the_steps() -> None:
    recorder = Recorder()
    recorder.run("--dataset", "hm", "--json")
    assert {(dataset, as_json) for _, dataset, _, as_json in recorder.calls} == {("hm", True)}


def test_a_step_with_nothing_to_do_is_passed_over() -> None:
    recorder = Recorder({"recommend": NothingToDoError("written already.")})
    recorder.run("--dataset", "hm")
    assert [step for step, *_ in recorder.calls] == list(release.STEPS)


def test_a_refused_challenger_does_not_keep_users_waiting_but_shows_in_the_end() -> None:
    recorder = Recorder({"promote": ModelError("worse than the champion.")})
    with pytest.raises(ModelError, match="hm: worse than the champion"):
        recorder.run("--dataset", "hm")
    assert [step for step, *_ in recorder.calls] == list(release.STEPS)


@pytest.mark.parametrize("fault", [ModelError("damaged."), LockedError("held.")])
def test_any_other_failure_stops_at_once(fault: IllmrecError) -> None:
    recorder = Recorder({"register": fault})
    with pytest.raises(type(fault)):
        recorder.run("--dataset", "hm")
    assert [step for step, *_ in recorder.calls] == ["register"]


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="2026-02-31"):
        Recorder().run("--date", "2026-02-31")
