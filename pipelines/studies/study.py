"""What a study is, and the bench on which it runs its cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from illmrec.errors import ParameterError
from illmrec.progress import announce
from pipelines.parameters.training import EvaluateConfig, TrainConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.studies.cases import Case, CaseResult, join_seeds, resolve, run_case

Row = dict[str, Any]


class Bench:
    """Where a study runs: one data set, what every case changes, and which cases are wanted.

    Args:
        context: the data set.
        extra: keys of section ``train`` that every case changes.
        only: pattern of the cases' names, matched from their beginning; empty for all.
        seeds: trainings of each case in :meth:`rows`, from the seed of section ``train`` on.
    """

    def __init__(self, context: Context, extra: Mapping[str, Any], only: str = "", seeds: int = 1) -> None:
        self.context = context
        self.extra = extra
        self._only = only
        self._seeds = seeds

    @property
    def layout(self) -> Layout:
        """Return the data set's own project."""
        return self.context.layout

    @property
    def shelf(self) -> Shelf:
        """Return the data set's artifacts, each opened once for the whole study."""
        return self.context.shelf

    def choose(self, cases: Iterable[Case]) -> list[Case]:
        """Return the cases that are wanted.

        Raises:
            ParameterError: when there is none, the pattern is no regular expression, or the parameters of one are
                wrong, so that it is said before another is trained.
        """
        try:
            chosen = [case for case in cases if re.match(self._only, case.name)]
        except re.error as error:
            raise ParameterError(f"--only {self._only!r} is no regular expression: {error}.") from None
        if not chosen:
            hint = "Leave --only out to run all of them."
            raise ParameterError(f"no case matches {self._only!r}.", hint=hint)
        for case in chosen:
            resolve(self.context, case, self.extra)
        return chosen

    def run(self, cases: Iterable[Case]) -> list[CaseResult]:
        """Run the wanted cases one after the other, with one seed; those that are there are not run again."""
        chosen = self.choose(cases)
        return [self._run(case, f"{number} of {len(chosen)}") for number, case in enumerate(chosen, start=1)]

    def rows(self, cases: Iterable[Case]) -> list[Row]:
        """Run the wanted cases with every seed; return a row per case.

        All cases are run with the first seed, then with the next, so that what a stopped study has measured compares.
        """
        if self._seeds == 1:
            return [result.row for result in self.run(cases)]
        chosen = self.choose(cases)
        first = int(self.extra.get("seed", self.context.section(TrainConfig).seed))
        results: dict[str, list[CaseResult]] = {case.name: [] for case in chosen}
        for seed in range(first, first + self._seeds):
            for number, case in enumerate(chosen, start=1):
                which = f"{number} of {len(chosen)}, seed {seed}"
                results[case.name].append(self._run(case, which, {"seed": seed}))
        return [join_seeds(each, self.context.section(EvaluateConfig)) for each in results.values()]

    def _run(self, case: Case, which: str, extra: Mapping[str, Any] | None = None) -> CaseResult:
        announce(f"case {which}: {case.name}")
        return run_case(self.context, case, {**self.extra, **(extra or {})})


def find_twins(rows: Iterable[Row]) -> list[list[str]]:
    """Return groups of cases that are the same training with the parameters at hand, so that their rows are equal."""
    cases: dict[str, list[str]] = {}
    for row in rows:
        if "case" in row and "run" in row:
            cases.setdefault(row["run"], []).append(row["case"])
    return [names for names in (list(dict.fromkeys(found)) for found in cases.values()) if len(names) > 1]


def tabulate(make_cases: Callable[[], Iterable[Case]]) -> Callable[[Bench], list[Row]]:
    """Return a study's ``measure`` that runs some cases and has a row for each."""

    def measure(bench: Bench) -> list[Row]:
        """Run the cases; return the row of each."""
        return bench.rows(make_cases())

    return measure


@dataclass(frozen=True)
class Study:
    """A question, how it is answered, and how the answer is shown.

    Args:
        title: heading of the page.
        question: one or two sentences: what is compared, and what is not.
        paper: the table or figure of the paper that it repeats in form; empty where there is none.
        measure: runs on a bench, returns the table's rows. Rows may lack columns.
        shown: columns shown on the terminal and on the page, in order; the rest is in the files.
        draw: makes the picture of the rows.
        seeded: whether its cases can be trained with several seeds; it then has them run by :meth:`Bench.rows`.
        trains: whether it trains cases, so that changes of section ``train`` mean something.
    """

    title: str
    question: str
    paper: str
    measure: Callable[[Bench], list[Row]]
    shown: tuple[str, ...]
    draw: Callable[[list[Row]], Figure]
    seeded: bool = True
    trains: bool = True
