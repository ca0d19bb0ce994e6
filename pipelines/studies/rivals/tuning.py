"""Tuning on validation: the only import of Optuna.

Proposals come from a tree-structured Parzen estimator (Bergstra et al., 2011). What a trial is told depends on the seed
and on the finished trials alone, so a tuning that was stopped goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from optuna import Study
from optuna.distributions import BaseDistribution

from illmrec.progress import track_items
from illmrec.seeds import derive_seed
from pipelines.studies.rivals.catalogue import Choice, Range

RANDOM_TRIALS = 10
"""Trials before the estimator has something to go by. What they try depends on the seed alone."""


class Measured(NamedTuple):
    """What a trial found.

    Attributes:
        value: to maximise.
        seconds: what finding it took, when it was found.
    """

    value: float
    seconds: float


Measure = Callable[[Mapping[str, Any]], Measured]


@dataclass(frozen=True)
class TrialRow:
    """One finished trial."""

    number: int
    value: float
    parameters: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Search:
    """What is looked for.

    Args:
        name: unique to everything the values depend on: finished trials of this name count.
        start: parameters of the first trial.
        space: where each of them is looked for.
        trials: how many trials there are in all.
        seed: of the proposals.
    """

    name: str
    start: Mapping[str, Any]
    space: Mapping[str, Range | Choice]
    trials: int
    seed: int


def tune(storage: Path, search: Search, measure: Measure, label: str) -> list[TrialRow]:
    """Run the trials that are missing; return all of them in order.

    Args:
        storage: SQLite file, made where there is none.
        search: what is looked for.
        measure: looks what some parameters are worth.
        label: what the progress bar is called.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{storage}", study_name=search.name, direction="maximize", load_if_exists=True
    )
    _drop_unfinished(study)
    done = len(_list_finished(study))
    with track_items(label, total=search.trials, unit="trial") as advance:
        advance(min(done, search.trials))
        for number in range(done, search.trials):
            _run_trial(study, search, number, measure)
            advance(1)
    return _list_finished(study)[: search.trials]


def _run_trial(study: Study, search: Search, number: int, measure: Measure) -> None:
    """Measure the start, then what is proposed; a value counts once it is stored, together with its time."""
    import optuna

    distributions = {name: _describe(space) for name, space in search.space.items()}
    if number == 0:
        value, seconds = measure(search.start)
        first = optuna.trial.create_trial(
            params=dict(search.start), distributions=distributions, value=value, user_attrs={"seconds": seconds}
        )
        study.add_trial(first)
        return
    seed = derive_seed(search.seed, "trial", number) % 2**32
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS)
    trial = study.ask(fixed_distributions=distributions)
    value, seconds = measure(trial.params)
    trial.set_user_attr("seconds", seconds)
    study.tell(trial, value)


def _describe(space: Range | Choice) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(space, Choice):
        return CategoricalDistribution(space.values)
    if isinstance(space.low, int) and isinstance(space.high, int):
        return IntDistribution(space.low, space.high, log=space.log)
    return FloatDistribution(space.low, space.high, log=space.log)


def _drop_unfinished(study: Study) -> None:
    """Close the trials that a killed run left open, so that they count for nothing."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _list_finished(study: Study) -> list[TrialRow]:
    from optuna.trial import TrialState

    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [
        TrialRow(number, float(trial.value or 0.0), dict(trial.params), float(trial.user_attrs["seconds"]))
        for number, trial in enumerate(sorted(finished, key=lambda trial: trial.number))
    ]
