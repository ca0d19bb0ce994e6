"""Where models are good: NDCG@10 by groups of test targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from illmrec.errors import DataError
from illmrec.evaluation.metrics import NDCG_10
from illmrec.evaluation.summary import Estimate
from pipelines.report.figures import MODELS, find_best

COLUMNS = {"group": pl.String, "slice": pl.String, "model": pl.String, "targets": pl.Int64} | {
    f"{NDCG_10}{end}": pl.Float64 for end in ("", ".low", ".high")
}
NOTES = {
    "target's popularity": "Fifths of the test targets by how often training users took the item; few at the top.",
    "target in training": "Unseen: no training user took the item, so CF knows nothing of it.",
    "history length": "Items known of the user before the target.",
    "target's picture": "Missing: something else stands in for the target's picture.",
    "target in the history": "Repeat: the user had taken the item before.",
}


@dataclass(frozen=True)
class SliceRow:
    """One slice.

    Args:
        label: its name.
        targets: how many test targets are in it.
        models: NDCG@10 by model.
    """

    label: str
    targets: int
    models: Mapping[str, Estimate]

    @property
    def best(self) -> frozenset[str]:
        """Models with the highest value; several when they tie, none when all do."""
        return find_best(self.models)


@dataclass(frozen=True)
class SliceGroup:
    """Slices that are told apart by one thing.

    Args:
        title: what it is.
        note: what it means.
        rows: the slices, in the evaluation's order.
    """

    title: str
    note: str
    rows: tuple[SliceRow, ...]


def read_slices(path: Path, remedy: str) -> tuple[SliceGroup, ...]:
    """Return the groups in slices.csv that tell anything apart; nothing where there is no such file.

    Raises:
        DataError: when it is not readable, lacks a column, or does not hold all models of a slice.
    """
    if not path.exists():
        return ()
    hint = f"Run `{remedy}` again."
    try:
        table = pl.read_csv(path, schema_overrides=COLUMNS)
        table = table.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        first = str(error).splitlines()[0]
        raise DataError(f"is not a table of slices: {first}", path=path, hint=hint) from None
    groups: dict[str, dict[str, dict[str, tuple[int, Estimate]]]] = {}
    for group, name, model, targets, value, low, high in table.drop_nulls().rows():
        groups.setdefault(group, {}).setdefault(name, {})[model] = (targets, Estimate(value, low, high))
    if any(set(models) != set(MODELS) for slices in groups.values() for models in slices.values()):
        raise DataError("lacks a model in some slice.", path=path, hint=hint)
    return tuple(
        SliceGroup(f"By {group}", NOTES.get(group, ""), tuple(_make_row(name, found) for name, found in slices.items()))
        for group, slices in groups.items()
        if len(slices) > 1
    )


def _make_row(name: str, found: Mapping[str, tuple[int, Estimate]]) -> SliceRow:
    targets = next(iter(found.values()))[0]
    return SliceRow(name, targets, {model: found[model][1] for model in MODELS})
