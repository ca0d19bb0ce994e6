"""The comparison of rivals: each is tuned on validation, trained with several seeds, and ranked on the test targets.

Everything lies below ``work/studies/<data set>/rivals``: ``tuning.db`` (Optuna's trials), ``runs`` (trainings),
``results.json`` with ``results.csv`` (a row per rival and seed), ``summary.csv`` (a row per rival) and ``trials.csv``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec import atomic
from illmrec.evaluation.intervals import bootstrap_means, interval
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric, average_by_user, compute_metrics
from illmrec.progress import announce
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock
from pipelines.studies import revision
from pipelines.studies.rivals.catalogue import RIVALS, choose_start
from pipelines.studies.rivals.data import RivalData, load_rival_data
from pipelines.studies.rivals.published import look_up_rivals
from pipelines.studies.rivals.runs import BOUNDS, RANKS, Run, identify, run_rival
from pipelines.studies.rivals.training import Task
from pipelines.studies.rivals.tuning import RANDOM_TRIALS, Measured, Search, TrialRow, tune
from pipelines.studies.tables import write_rows

FOLDER = "rivals"
"""Where a data set's rivals are kept, below its studies."""

MEASURED = (Metric("hit", 5), HIT_10, Metric("ndcg", 5), NDCG_10, MRR)
METRICS = tuple(map(str, MEASURED))
"""Names of their columns."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Tuned:
    """A rival's parameters and how they were found."""

    parameters: Mapping[str, Any]
    trials: list[TrialRow]

    @property
    def seconds(self) -> float:
        """Return how long all trials took."""
        return sum(trial.seconds for trial in self.trials)


@dataclass(frozen=True)
class Compared:
    """A rival's final trainings."""

    name: RivalName
    tuned: Tuned
    runs: list[Run]


def compare_rivals(layout: Layout, config: RivalsConfig, evaluation: EvaluateConfig) -> dict[str, Any]:
    """Compare all of ``config.models`` and write their tables after each; return what results.json holds.

    Raises:
        ParameterError: when ``config.start`` names a parameter that a rival does not have.
        MissingArtifactError: when a stage whose output is read has not run.
    """
    folder = layout.studies / FOLDER
    with hold_lock(layout.lock("rivals")):
        for place in (folder, folder / "runs"):
            atomic.sweep_partial(place)
        data = load_rival_data(layout)
        for name in config.models:  # what is wrong with any of them is said before the first is trained
            choose_start(name, config)
        if "vbpr" in config.models:
            _ = data.pictures
        compared = []
        for name in config.models:
            compared.append(compare_rival(data, name, config, folder))
            facts = write_results(data, compared, config, evaluation, folder)
    return facts


def compare_rival(data: RivalData, name: RivalName, config: RivalsConfig, folder: Path) -> Compared:
    """Tune one rival, then train it with every seed; what is there already is not done again."""
    tuned = tune_rival(data, name, config, folder)
    seeds = range(config.seed, config.seed + (config.seeds if RIVALS[name].seeded else 1))
    runs = []
    for seed in seeds:
        runs.append(run_rival(name, Task(data, tuned.parameters, config, seed), folder / "runs"))
        facts = runs[-1].facts
        _say(f"{name}, seed {seed}: validation NDCG@10 {facts['validation_ndcg@10']:.4f}, {facts['seconds']:.0f} s")
    return Compared(name, tuned, runs)


def tune_rival(data: RivalData, name: RivalName, config: RivalsConfig, folder: Path) -> Tuned:
    """Return the parameters with the best validation NDCG@10; the test targets have no say.

    A trial is a training like those that follow: it is found again wherever it was made, and the best is the first of
    them.
    """
    rival, start = RIVALS[name], choose_start(name, config)
    if not rival.space or not config.trials:
        return Tuned(start, [])
    space = {key: repr(value) for key, value in rival.space.items()}
    digest = identify(data, name, config, start=start, space=space, seed=config.seed, random=RANDOM_TRIALS)
    search = Search(f"{name}-{digest}", start, rival.space, config.trials, config.seed)

    def measure(parameters: Mapping[str, Any]) -> Measured:
        facts = run_rival(name, Task(data, parameters, config, config.seed), folder / "runs").facts
        _say(f"{name}, trial: validation NDCG@10 {facts['validation_ndcg@10']:.4f} with {_spell(parameters)}")
        return Measured(facts["validation_ndcg@10"], facts["seconds"])

    trials = tune(folder / "tuning.db", search, measure, name)
    return Tuned(max(trials, key=lambda trial: trial.value).parameters, trials)


def write_results(
    data: RivalData, compared: Iterable[Compared], config: RivalsConfig, evaluation: EvaluateConfig, folder: Path
) -> dict[str, Any]:
    """Write all tables of the rivals that were compared so far; return what results.json holds.

    Rivals that were compared on the same data by an earlier command, with bounds and resampling as they are now, stay
    below them.
    """
    found = list(compared)
    identity = _identify_table(data, config, evaluation)
    rows = [row for rival in found for row in tabulate_runs(data, rival, evaluation, folder)]
    summary = [summarise_seeds(data, rival, evaluation) for rival in found]
    trials = [
        {"rival": rival.name, "trial": trial.number, "validation_ndcg@10": trial.value, "seconds": trial.seconds,
         "parameters": json.dumps(dict(trial.parameters), sort_keys=True)}
        for rival in found
        for trial in rival.tuned.trials
    ]  # fmt: skip
    kept = _read_kept(folder / "results.json", identity, {rival.name for rival in found})
    summary, rows, trials = (
        [*table, *kept.get(name, [])] for name, table in (("summary", summary), ("rows", rows), ("trials", trials))
    )
    facts = {
        "dataset": data.layout.dataset,
        "identity": identity,
        "protocol": "full catalog; items of the history are no candidates; tied scores share their average rank",
        "split": {"users": len(data.test), "targets": len(data.test.owners), "items": data.n_items},
        "section": config.model_dump(mode="json"),
        "confidence": evaluation.confidence,
        "published": look_up_rivals(len(data.sequences), data.n_items, data.interactions),
        "summary": summary,
        "rows": rows,
        "trials": trials,
    }
    atomic.write_json(folder / "results.json", facts)
    for name, table in (("results", rows), ("summary", summary), ("trials", trials)):
        write_rows(folder / f"{name}.csv", table)
    return facts


def _identify_table(data: RivalData, config: RivalsConfig, evaluation: EvaluateConfig) -> str:
    """Return a digest of what rivals must have in common to stand in one table; trials and seeds are in their rows."""
    bounds = config.model_dump(include=set(BOUNDS))
    facts = [revision.RIVALS, data.digest, bounds, evaluation.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read_kept(path: Path, identity: str, names: set[RivalName]) -> dict[str, list[Row]]:
    """Return the tables of an earlier command without the rivals ``names``; empty where it compared something else."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(facts, dict) or facts.get("identity") != identity:
        return {}
    return {
        table: [row for row in facts[table] if row["rival"] not in names and row["rival"] in RIVALS]
        for table in ("summary", "rows", "trials")
    }


def tabulate_runs(data: RivalData, rival: Compared, evaluation: EvaluateConfig, folder: Path) -> list[Row]:
    """Return a row per seed: metrics with intervals over users, parameters, trials, times."""
    return [
        {
            **_label(rival),
            "seed": run.seed,
            **estimate(measure_users(data, run), evaluation),
            **{key: value for key, value in run.facts.items() if key not in ("rival", "ranks_sha256", "parameters")},
            "ranks": (run.folder / RANKS).relative_to(folder).as_posix(),
        }
        for run in rival.runs
    ]


def summarise_seeds(data: RivalData, rival: Compared, evaluation: EvaluateConfig) -> Row:
    """Return one row: means over seeds with intervals over users, and the standard deviation between seeds.

    An interval is of each user's mean over the seeds: it says how far the figure depends on who the users are; ``.sd``
    says how far it depends on the seed, and is missing for a single one.
    """
    each = np.stack([measure_users(data, run) for run in rival.runs])
    row = {**_label(rival), "seeds": len(rival.runs), **estimate(each.mean(axis=0), evaluation)}
    if len(rival.runs) > 1:
        deviations = each.mean(axis=1).std(axis=0, ddof=1)
        row |= {f"{name}.sd": float(value) for name, value in zip(METRICS, deviations, strict=True)}
    row["validation_ndcg@10"] = float(np.mean([run.facts["validation_ndcg@10"] for run in rival.runs]))
    row["seconds"] = sum(run.facts["seconds"] for run in rival.runs)
    return row


def measure_users(data: RivalData, run: Run) -> npt.NDArray[np.float64]:
    """Return ``float64 [n, m]``: :data:`MEASURED` of each user, the mean over a user's targets."""
    values = compute_metrics(run.ranks(), (5, 10))
    return np.stack([average_by_user(values[metric], data.test.owners, len(data.test)) for metric in MEASURED], axis=1)


def estimate(values: npt.NDArray[np.float64], evaluation: EvaluateConfig) -> Row:
    """Return the means of ``float64 [n, m]`` over users, each with ``.low`` and ``.high``."""
    means = bootstrap_means(values, evaluation.bootstrap_samples, evaluation.seed)
    row: Row = {}
    for column, name in enumerate(METRICS):
        row[name] = float(values[:, column].mean())
        row[f"{name}.low"], row[f"{name}.high"] = interval(means[:, column], evaluation.confidence)
    return row


def _label(rival: Compared) -> Row:
    return {
        "rival": rival.name,
        "title": RIVALS[rival.name].title,
        "parameters": dict(rival.tuned.parameters),
        "trials": len(rival.tuned.trials),
        "tuning_seconds": rival.tuned.seconds,
    }


def _spell(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in parameters.items())


def _say(text: str) -> None:
    announce(text)
