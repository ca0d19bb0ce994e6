"""The rivals: what each is called, what it starts from, and in which bounds it is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from illmrec.errors import ParameterError
from pipelines.parameters.studies import RivalName, RivalsConfig
from pipelines.studies.rivals import training
from pipelines.studies.rivals.training import Fit


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones when both ends are."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[int | float, ...]


@dataclass(frozen=True)
class Rival:
    """One model to compare with.

    Args:
        title: what tables call it.
        fit: trains it.
        start: its parameters as the literature has them; the first trial of a tuning.
        space: where each of them is looked for; empty for a rival without parameters, which is not tuned.
        seeded: whether its result depends on a seed.
    """

    title: str
    fit: Fit
    start: Mapping[str, int | float] = field(default_factory=dict)
    space: Mapping[str, Range | Choice] = field(default_factory=dict)
    seeded: bool = True


_WIDTHS = Choice((32, 64, 128))
_RATES = Range(3e-4, 5e-3, log=True)
_DROPOUT = Range(0.1, 0.7)
_SASREC_START = {"width": 64, "blocks": 2, "heads": 1, "dropout": 0.5, "learning_rate": 1e-3}
_SASREC_SPACE: Mapping[str, Range | Choice] = {
    "width": _WIDTHS,
    "blocks": Range(1, 3),
    "heads": Choice((1, 2, 4)),
    "dropout": _DROPOUT,
    "learning_rate": _RATES,
}
_BPR_START = {"width": 64, "learning_rate": 1e-3, "decay": 1e-3}
_BPR_SPACE: Mapping[str, Range | Choice] = {
    "width": _WIDTHS,
    "learning_rate": _RATES,
    "decay": Range(1e-5, 1e-1, log=True),
}

RIVALS: Mapping[RivalName, Rival] = {
    "popularity": Rival("popularity", training.fit_popularity, seeded=False),
    "repeat": Rival("repeat", training.fit_repeat, seeded=False),
    "last-item": Rival("last item", training.fit_last_item, seeded=False),
    "item-knn": Rival(
        "ItemKNN",
        training.fit_item_knn,
        {"neighbours": 100, "shrinkage": 10.0},
        {"neighbours": Range(10, 1000, log=True), "shrinkage": Range(0.1, 100.0, log=True)},
        seeded=False,
    ),
    "bpr": Rival("BPR-MF", training.fit_bpr, _BPR_START, _BPR_SPACE),
    "vbpr": Rival(
        "VBPR", training.fit_vbpr, {**_BPR_START, "visual_width": 64}, {**_BPR_SPACE, "visual_width": _WIDTHS}
    ),
    "gru4rec": Rival(
        "GRU4Rec",
        training.fit_gru4rec,
        {"width": 64, "layers": 1, "dropout": 0.5, "learning_rate": 1e-3},
        {"width": _WIDTHS, "layers": Range(1, 2), "dropout": _DROPOUT, "learning_rate": _RATES},
    ),
    "bert4rec": Rival(
        "BERT4Rec",
        training.fit_bert4rec,
        {**_SASREC_START, "heads": 2, "dropout": 0.2, "hidden_share": 0.4, "last_share": 0.1},
        {**_SASREC_SPACE, "hidden_share": Range(0.1, 0.7), "last_share": Range(0.0, 0.5)},
    ),
    "sasrec": Rival("SASRec, BCE", training.fit_sasrec, _SASREC_START, _SASREC_SPACE),
    "sasrec-gbce": Rival(
        "SASRec, gBCE",
        training.fit_sasrec_calibrated,
        {**_SASREC_START, "negatives": 256, "calibration": 0.75},
        {**_SASREC_SPACE, "negatives": Range(16, 1024, log=True), "calibration": Range(0.0, 1.0)},
    ),
    "sasrec-ce": Rival("SASRec, cross entropy", training.fit_sasrec_catalog, _SASREC_START, _SASREC_SPACE),
}


def choose_start(name: RivalName, config: RivalsConfig) -> dict[str, Any]:
    """Return what a rival's tuning starts from, with the section's changes.

    Raises:
        ParameterError: when a changed parameter is unknown, no whole number where one is needed, or outside the bounds
            in which it is tuned.
    """
    rival, changes = RIVALS[name], config.start.get(name, {})
    start: dict[str, Any] = dict(rival.start)
    for key, value in changes.items():
        where = f"rivals.start.{name}.{key}"
        if key not in start:
            known = ", ".join(start) or "none: it has no parameters"
            raise ParameterError(f"unknown parameter {where!r}.", hint=f"Known: {known}.")
        if isinstance(start[key], int) and not isinstance(value, int):
            raise ParameterError(f"{where} is {value!r}, expected a whole number.")
        if not _contains(rival.space[key], value):
            raise ParameterError(f"{where} is {value!r}, expected {describe_space(rival.space[key])}.")
        start[key] = type(start[key])(value)
    return start


def _contains(space: Range | Choice, value: float) -> bool:
    return value in space.values if isinstance(space, Choice) else space.low <= value <= space.high


def describe_space(space: Range | Choice) -> str:
    """Return in words where a parameter is looked for."""
    if isinstance(space, Choice):
        return "one of " + ", ".join(str(value) for value in space.values)
    return f"{space.low} to {space.high}" + (", by ratio" if space.log else "")


def write_table() -> str:
    """Return the Markdown table of docs/rivals.md: parameters, where their tuning starts, where it looks."""
    lines = ["| rival | parameter | start | looked for in |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{name}` | `{key}` | {value} | {describe_space(rival.space[key])} |"
        for name, rival in RIVALS.items()
        for key, value in rival.start.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(write_table())  # noqa: T201 - python -m pipelines.studies.rivals.catalogue
