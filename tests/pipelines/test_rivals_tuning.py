"""Tuning: the same trials whether or not it was stopped, the literature's parameters first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from illmrec.errors import ParameterError
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.studies.rivals.catalogue import RIVALS, Choice, Range, choose_start, describe_space, write_table
from pipelines.studies.rivals.published import look_up_rivals
from pipelines.studies.rivals.tuning import RANDOM_TRIALS, Measured, Search, tune

SEARCH = Search(
    "toy",
    start={"width": 32, "rate": 0.1, "layers": 1},
    space={"width": Choice((32, 64)), "rate": Range(0.01, 1.0, log=True), "layers": Range(1, 3)},
    trials=14,
    seed=0,
)


def measure(parameters: Mapping[str, Any]) -> Measured:
    value = -abs(parameters["rate"] - 0.3) + (parameters["width"] == 64) - parameters["layers"] / 10
    return Measured(value, 2.5)


def test_the_first_trial_is_the_start_and_others_stay_within_bounds(tmp_path: Path) -> None:
    trials = tune(tmp_path / "t.db", SEARCH, measure, "toy")
    assert [trial.number for trial in trials] == list(range(14))
    assert dict(trials[0].parameters) == SEARCH.start
    for trial in trials:
        assert (trial.value, trial.seconds) == measure(trial.parameters)
        assert trial.parameters["width"] in (32, 64)
        assert 0.01 <= trial.parameters["rate"] <= 1.0
        assert trial.parameters["layers"] in (1, 2, 3)
        assert isinstance(trial.parameters["layers"], int)
    assert max(trial.value for trial in trials) > trials[0].value


def test_a_tuning_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = tune(tmp_path / "whole.db", SEARCH, measure, "toy")
    asked: list[Mapping[str, Any]] = []

    def stop_in_the_twelfth(parameters: Mapping[str, Any]) -> Measured:
        asked.append(dict(parameters))
        if len(asked) == 12:
            raise KeyboardInterrupt
        return measure(parameters)

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "stopped.db", SEARCH, stop_in_the_twelfth, "toy")
    resumed = tune(tmp_path / "stopped.db", SEARCH, stop_in_the_twelfth, "toy")
    assert [dict(trial.parameters) for trial in resumed] == [dict(trial.parameters) for trial in whole]
    assert [trial.value for trial in resumed] == [trial.value for trial in whole]
    assert len(asked) == 15, "one trial was cut off, none was repeated"
    tune(tmp_path / "stopped.db", SEARCH, stop_in_the_twelfth, "toy")
    assert len(asked) == 15


def test_the_first_trial_can_be_cut_off(tmp_path: Path) -> None:
    def stop(parameters: Mapping[str, Any]) -> Measured:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "t.db", SEARCH, stop, "toy")
    assert len(tune(tmp_path / "t.db", replace(SEARCH, trials=2), measure, "toy")) == 2


def test_the_first_trials_can_be_known_before_any_is_made(tmp_path: Path) -> None:
    early = replace(SEARCH, trials=RANDOM_TRIALS)
    blind = tune(tmp_path / "blind.db", early, lambda parameters: Measured(0.0, 0.0), "toy")
    seeing = tune(tmp_path / "t.db", early, measure, "toy")
    assert [trial.parameters for trial in blind] == [trial.parameters for trial in seeing]


def test_more_trials_continue_fewer(tmp_path: Path) -> None:
    few = tune(tmp_path / "t.db", replace(SEARCH, trials=3), measure, "toy")
    more = tune(tmp_path / "t.db", SEARCH, measure, "toy")
    assert [trial.value for trial in more[:3]] == [trial.value for trial in few]
    assert tune(tmp_path / "t.db", replace(SEARCH, trials=3), measure, "toy") == few


def test_another_seed_or_name_looks_elsewhere(tmp_path: Path) -> None:
    first = tune(tmp_path / "t.db", SEARCH, measure, "toy")
    other = tune(tmp_path / "t.db", replace(SEARCH, name="other", seed=1), measure, "toy")
    assert [trial.parameters for trial in first[1:]] != [trial.parameters for trial in other[1:]]


@pytest.mark.parametrize("name", get_args(RivalName))
def test_every_rival_starts_inside_the_space_it_is_tuned_in(name: RivalName) -> None:
    rival = RIVALS[name]
    assert set(rival.start) == set(rival.space)
    start = choose_start(name, RivalsConfig(start={name: dict(rival.start)}))
    assert start == dict(rival.start)
    assert all(describe_space(space) for space in rival.space.values())


def test_the_page_holds_the_current_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rivals.md").read_text(encoding="utf-8")
    assert write_table() in page, "run: python -m pipelines.studies.rivals.catalogue, and put it into the page"
    assert all(f"| `{name}` | " in page for name in RIVALS)


def test_published_figures_are_of_known_rivals_and_found_by_size() -> None:
    found = look_up_rivals(22363, 12101, 198502)
    assert found is not None
    assert set(found["rivals"]) <= set(RIVALS)
    assert found["rivals"]["sasrec"] == {"hit@5": 0.0387, "ndcg@5": 0.0249, "hit@10": 0.0605, "ndcg@10": 0.0318}
    assert look_up_rivals(22363, 12101, 198501) is None


def test_the_rivals_are_those_of_the_section() -> None:
    assert list(RIVALS) == list(get_args(RivalName))
    assert len({rival.title for rival in RIVALS.values()}) == len(RIVALS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sasrec": {"widths": 64}}, "rivals.start.sasrec.widths"),
        ({"sasrec": {"width": 50}}, "one of 32, 64, 128"),
        ({"sasrec": {"width": 64.0}}, "whole number"),
        ({"item-knn": {"neighbours": 5000}}, "10 to 1000"),
        ({"popularity": {"width": 64}}, "rivals.start.popularity.width"),
    ],
)
def test_wrong_starts_are_named(changes: dict[RivalName, dict[str, float]], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        choose_start(next(iter(changes)), RivalsConfig(start=changes))


def test_a_start_may_be_changed() -> None:
    config = RivalsConfig(start={"item-knn": {"shrinkage": 5}})
    assert choose_start("item-knn", config) == {"neighbours": 100, "shrinkage": 5.0}
