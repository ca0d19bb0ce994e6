"""Reads the artifacts of one data set into the plain content of its report."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.columns import ITEM_ID
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError
from illmrec.evaluation.table import MetricsTable
from illmrec.samples.notice import is_synthetic as is_made_up
from pipelines.assembly.encoders import name_encoder
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.quality.verdict import DOCS_INDEX, GATE_FILE
from pipelines.report.funnel import Funnel, build_funnel
from pipelines.report.gallery import Gallery, build_gallery
from pipelines.report.knockouts import Knockouts, read_knockouts
from pipelines.report.reading import Facts, Missing, read_facts, scan_table
from pipelines.report.results import Results, build_results
from pipelines.report.slices import read_slices

CURVES = ("step", "loss", "image", "cf", "text", "retrieval", "alignment", "validation")
POINTER = "latest.json"


@dataclass(frozen=True)
class ModelFacts:
    """What the trained model says of itself; ``fits_catalog`` is False when the catalog has changed since."""

    encoders: tuple[tuple[str, str, str], ...]
    best_step: int
    validation: float
    settings: tuple[tuple[str, str], ...]
    fits_catalog: bool


@dataclass(frozen=True)
class Check:
    """One check of the quality gate."""

    suite: str
    name: str
    severity: str
    observed: str
    expected: str
    passed: bool


@dataclass(frozen=True)
class Unchecked:
    """Checks of one suite that had nothing to look at, and why."""

    suite: str
    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Gate:
    """A gate's verdict; ``docs`` is the Data Docs page relative to the report, empty where there is none."""

    passed: bool
    checks: tuple[Check, ...]
    unchecked: tuple[Unchecked, ...]
    docs: str


@dataclass(frozen=True)
class Curves:
    """Points (step, value) by column of the training curves, and the step that was kept, where known."""

    points: Mapping[str, tuple[tuple[float, float], ...]]
    best_step: int | None


@dataclass(frozen=True)
class Parity:
    """How far the exported head is from the trained model."""

    users: int
    max_user_difference: float
    max_item_difference: float
    same_top10_share: float


@dataclass(frozen=True)
class Report:
    """Everything the page shows; a section whose input does not exist yet is :class:`Missing`.

    ``knockouts`` is None where the evaluation did not try wrong pictures.
    """

    dataset: str
    made_at: datetime.datetime
    lineage: Mapping[str, str]
    is_synthetic: bool
    model: ModelFacts | Missing
    funnel: Funnel
    gate: Gate | Missing
    feature_gate: Gate | Missing
    curves: Curves | Missing
    results: Results | Missing
    knockouts: Knockouts | Missing | None
    parity: Parity | Missing
    gallery: Gallery | Missing

    @property
    def left_out(self) -> list[Missing]:
        """What is missing, in the page's order."""
        sections: list[object] = [self.model, self.gate, self.feature_gate, self.curves, self.results]
        sections += [self.parity, self.gallery]
        if isinstance(self.gallery, Gallery):
            sections.append(self.gallery.night)
        found = [section for section in sections if isinstance(section, Missing)]
        if not self.funnel.is_split:
            found.insert(0, Missing("Split", f"illmrec split --dataset {self.dataset}"))
        return found


@dataclass(frozen=True)
class Choices:
    """What the parameters say about the report.

    Args:
        users: users in the gallery.
        thumbnail_pixels: longest side of a picture.
        confidence: coverage of the evaluation's intervals, 0 to 1.
    """

    users: int
    thumbnail_pixels: int
    confidence: float


def gather_report(shelf: Shelf, lineage: Mapping[str, str], choices: Choices, made_at: datetime.datetime) -> Report:
    """Read everything the report shows.

    Raises:
        MissingArtifactError: when ``prepare`` has not run, or ``evaluate`` of an earlier release did.
        DataError: when an artifact is damaged or does not fit another one.
    """
    layout = shelf.layout
    prepared = shelf.require(layout.prepared)
    summary = read_facts(prepared / "summary.json", f"illmrec prepare --dataset {layout.dataset}")
    split = layout.split / "summary.json"
    counts = read_facts(split, f"illmrec split --dataset {layout.dataset}") if split.exists() else None
    model = read_model(layout)
    metrics = shelf.metrics if shelf.is_evaluated else None
    return Report(
        dataset=layout.dataset,
        made_at=made_at,
        lineage=lineage,
        is_synthetic=is_synthetic(layout),
        model=model,
        funnel=build_funnel(summary, counts),
        gate=read_gate(layout, layout.quality, "Quality gate", "validate"),
        feature_gate=read_gate(layout, layout.feature_quality, "Feature gate", "validate-features"),
        curves=read_curves(layout, None if isinstance(model, Missing) else model.best_step),
        results=read_results(
            layout, metrics, choices.confidence, counts.count("negatives_per_user") if counts else None
        ),
        knockouts=read_wrong_pictures(layout, metrics),
        parity=read_parity(layout),
        gallery=read_gallery(shelf, choices),
    )


def is_synthetic(layout: Layout) -> bool:
    """Return whether the raw folder says that its data are synthetic."""
    source = read_facts(layout.prepared / "source.json", f"illmrec prepare --dataset {layout.dataset}")
    return is_made_up(layout.root / str(source.values.get("folder")))


def read_model(layout: Layout) -> ModelFacts | Missing:
    """Return what model/state.json says."""
    path, remedy = layout.model / "state.json", f"illmrec train --dataset {layout.dataset}"
    if not path.exists():
        return Missing("Model", remedy)
    state = read_facts(path, remedy).inner("state")
    items = scan_table(layout.prepared / "items.parquet", (ITEM_ID,), f"illmrec prepare --dataset {layout.dataset}")
    encoders = {"Image encoder": "image_encoder", "Text encoder": "text_encoder", "Language model": "backbone"}
    return ModelFacts(
        tuple((label, *_name_encoder(state, key)) for label, key in encoders.items()),
        state.count("best_step"),
        state.number("validation_ndcg@10"),
        tuple((key, _show(value)) for key, value in sorted(state.inner("settings").values.items())),
        state.values.get("item_digest") == Catalog(items.collect()).digest,
    )


def _name_encoder(state: Facts, key: str) -> tuple[str, str]:
    if state.values.get(key) is None:
        return "none", ""
    encoder = state.inner(key).values
    return name_encoder(encoder), str(encoder.get("revision", ""))


def _show(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def read_gate(layout: Layout, folder: Path, title: str, command: str) -> Gate | Missing:
    """Return what a gate wrote into its folder.

    Args:
        layout: where the report lies.
        folder: of gate.json and the Data Docs.
        title: what the gate is called.
        command: the subcommand that makes it.
    """
    path, remedy = folder / GATE_FILE, f"illmrec {command} --dataset {layout.dataset}"
    if not path.exists():
        return Missing(title, remedy)
    gate = read_facts(path, remedy)
    try:
        checks = tuple(_read_check(check) for check in gate.values["checks"])
        unchecked = _read_unchecked(gate.values.get("not_checked", []))
    except (KeyError, TypeError, ValueError) as error:
        raise gate.refuse(f"is not a result of the quality gate ({error!r})") from None
    docs = folder / DOCS_INDEX
    link = Path(os.path.relpath(docs, layout.report.parent)).as_posix() if docs.is_file() else ""
    return Gate(gate.values.get("passed") is True, checks, unchecked, link)


def _read_unchecked(entries: list[Mapping[str, Any]]) -> tuple[Unchecked, ...]:
    """Gather what was not checked by suite and reason, in the gate's order."""
    names: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        names.setdefault((str(entry["suite"]), str(entry["reason"])), []).append(str(entry["name"]))
    return tuple(Unchecked(suite, tuple(found), reason) for (suite, reason), found in names.items())


def _read_check(check: Mapping[str, Any]) -> Check:
    observed = "nothing" if check["observed"] is None else f"{check['observed']:g}"
    passed = check["passed"] is True
    return Check(
        str(check["suite"]), str(check["name"]), str(check["severity"]), observed, str(check["expected"]), passed
    )


def read_curves(layout: Layout, best_step: int | None) -> Curves | Missing:
    """Return the training curves; empty cells are left out."""
    path, remedy = layout.curves / "train.csv", f"illmrec train --dataset {layout.dataset}"
    if not path.exists():
        return Missing("Training curves", remedy)
    try:
        table = pl.read_csv(path, schema_overrides=dict.fromkeys(CURVES, pl.Float64))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"is not readable as CSV: {error}", path=path, hint=f"Run `{remedy}` again.") from None
    if "step" not in table.columns:
        raise DataError("lacks the column step.", path=path, hint=f"Run `{remedy}` again.")
    columns = [name for name in CURVES[1:] if name in table.columns]
    points = {name: table.select("step", name).drop_nulls().filter(pl.col(name).is_finite()).rows() for name in columns}
    return Curves({name: tuple(rows) for name, rows in points.items() if rows}, best_step)


def read_results(
    layout: Layout, metrics: MetricsTable | None, confidence: float, negatives: int | None
) -> Results | Missing:
    """Return the evaluation's tables and verdict."""
    remedy = f"illmrec evaluate --dataset {layout.dataset}"
    if metrics is None:
        return Missing("Results", remedy)
    return build_results(metrics, confidence, negatives, read_slices(layout.evaluation / "slices.csv", remedy))


def read_wrong_pictures(layout: Layout, metrics: MetricsTable | None) -> Knockouts | Missing | None:
    """Return what the evaluation measured with wrong pictures, None where it did not try."""
    if metrics is None:
        return Missing("Is the picture used?", f"illmrec evaluate --dataset {layout.dataset}")
    return read_knockouts(metrics)


def read_parity(layout: Layout) -> Parity | Missing:
    """Return the comparison of the exported head with the trained model."""
    path, remedy = layout.head / "head.json", f"illmrec export --dataset {layout.dataset}"
    if not path.exists():
        return Missing("Export check", remedy)
    parity = read_facts(path, remedy).inner("parity")
    names = ("max_user_difference", "max_item_difference", "same_top10_share")
    return Parity(parity.count("users"), *(parity.number(name) for name in names))


def read_gallery(shelf: Shelf, choices: Choices) -> Gallery | Missing:
    """Return the gallery; without a nightly export it shows histories and held-out items alone."""
    if not shelf.layout.split.exists():
        return Missing("Gallery", f"illmrec split --dataset {shelf.layout.dataset}")
    return build_gallery(shelf, find_night(shelf.layout), choices.users, choices.thumbnail_pixels)


def find_night(layout: Layout) -> str | Missing:
    """Return the published export relative to the exports folder, or the command that makes one.

    Raises:
        DataError: when the pointer names no folder below the exports.
    """
    path, remedy = layout.exports / POINTER, f"illmrec recommend --dataset {layout.dataset} --date YYYY-MM-DD"
    if not path.exists():
        return Missing("Nightly recommendations", remedy)
    pointer = read_facts(path, remedy)
    run = str(pointer.values.get("run"))
    folder = layout.exports / run
    if not folder.resolve().is_relative_to(layout.exports.resolve()) or not folder.is_dir():
        raise pointer.refuse(f"names {run!r}, which is no folder of this data set's exports")
    return run
