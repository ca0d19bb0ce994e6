"""Reads a night, the night before, the audit and the catalog into the plain content of the night's page."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from illmrec.columns import ITEM_ID, ITEMS, TIMESTAMP, USER_ID
from illmrec.data.catalog import Catalog
from illmrec.errors import MissingArtifactError
from illmrec.scoring.audit import count_days
from illmrec.scoring.output import POINTER, Night, check_run
from illmrec.seeds import generator
from pipelines.assembly.pictures import list_readable_pictures
from pipelines.project.artifacts import read_table
from pipelines.project.layout import Layout, ServingLayout
from pipelines.project.shelf import Shelf
from pipelines.report.gallery import ID_LENGTH, TITLE_LENGTH, TOP, Tile, shorten
from pipelines.report.gather import is_synthetic
from pipelines.report.night.figures import Change, NightFigures, compare_nights, count_items, measure_night
from pipelines.report.reading import read_facts
from pipelines.report.thumbnails import make_thumbnails

SHOWN_ITEMS = 10
"""Items shown of each group: most recommended, new in the lists, gone from them."""


@dataclass(frozen=True)
class AuditLine:
    """One check of the night's audit: what was found in words, what is allowed, whether it passed."""

    name: str
    told: str
    allowed: str
    passed: bool
    compared: bool


@dataclass(frozen=True)
class Shown:
    """One item of a list or group: what it is, whether it was there the night before, how many users see it."""

    tile: Tile
    is_new: bool = False
    users: int = 0


@dataclass(frozen=True)
class Reader:
    """One user: the list of tonight beside that of the night before, best first."""

    user_id: str
    now: tuple[Shown, ...]
    before: tuple[Shown, ...]
    reason: str


@dataclass(frozen=True)
class NightReport:
    """Everything the page shows; what needs a night before is None where there is none.

    Args:
        dataset: its name.
        made_at: when the page was made.
        is_synthetic: whether the data say that they were generated.
        night: date, run, model and so on, as (label, value).
        is_published: whether readers are pointed to this night.
        freshness: ages of what the night was made from, as (label, value).
        before: date and model of the night before.
        figures: of tonight.
        figures_before: of the night before.
        change: between the two.
        audit: the checks; empty where no receipt of this run was kept.
        groups: title and items of each group.
        readers: some users.
    """

    dataset: str
    made_at: datetime.datetime
    is_synthetic: bool
    night: tuple[tuple[str, str], ...]
    is_published: bool
    freshness: tuple[tuple[str, str], ...]
    before: tuple[str, str] | None
    figures: NightFigures
    figures_before: NightFigures | None
    change: Change | None
    audit: tuple[AuditLine, ...]
    groups: tuple[tuple[str, tuple[Shown, ...]], ...]
    readers: tuple[Reader, ...]


def gather_night(
    layout: Layout, day: datetime.date, users: int, pixels: int, made_at: datetime.datetime
) -> NightReport:
    """Read everything that the page of one night shows.

    Args:
        layout: the data set.
        day: the night.
        users: users whose lists are shown.
        pixels: longest side of a picture.
        made_at: when the page is made.

    Raises:
        MissingArtifactError: when there is no export of that night, or ``prepare`` has not run.
        DataError: when an export or an artifact is damaged.
    """
    night = open_night(layout, day)
    before = find_before(layout, day)
    serving = ServingLayout(layout.root, layout.dataset)
    items = serving if (serving.prepared / "items.parquet").is_file() else layout
    command = f"prepare --dataset {layout.dataset}"
    catalog = Catalog(read_table(items.prepared / "items.parquet", command, ITEMS))
    now, then = night.read(), None if before is None else before.read()
    change = None if then is None else compare_nights(now, then)
    groups = _group_items(now, change)
    chosen = choose_readers(now, then, users, layout.dataset, day.isoformat())
    tiles = _make_tiles(items, catalog, _list_shown(groups, chosen, now, then), pixels)
    published, audit = _read_published(layout), read_audit(layout, night)
    return NightReport(
        dataset=layout.dataset,
        made_at=made_at,
        is_synthetic=is_synthetic(layout),
        night=_describe(night),
        is_published=published == night.folder.relative_to(layout.exports).as_posix(),
        freshness=_measure_freshness(layout, items, night, day, command),
        before=None if before is None else (before.date, before.model),
        figures=measure_night(now, len(catalog) - count_withdrawn(night)),
        figures_before=None
        if then is None or before is None
        else measure_night(then, len(catalog) - count_withdrawn(before)),
        change=change,
        audit=audit,
        groups=tuple(
            (title, tuple(Shown(tiles[item], users=count) for item, count in pairs)) for title, pairs in groups
        ),
        readers=tuple(_build_reader(user, now, then, tiles) for user in chosen),
    )


def open_night(layout: Layout, day: datetime.date) -> Night:
    """Return the export of a night: the published run where there are several, else the one written last.

    Raises:
        MissingArtifactError: when there is none.
        DataError: when it differs from its manifest.
    """
    runs = _list_runs(layout, day.isoformat())
    if not runs:
        known = ", ".join(_list_dates(layout)[-5:]) or "none"
        hint = (
            f"Run `illmrec recommend --dataset {layout.dataset} --date {day.isoformat()}`. Nights there are: {known}."
        )
        raise MissingArtifactError("there is no export of that night.", path=layout.exports, hint=hint)
    published = _read_published(layout)
    named = [run for run in runs if run.relative_to(layout.exports).as_posix() == published]
    folder = named[0] if named else max(runs, key=lambda run: ((run / "manifest.json").stat().st_mtime, run.name))
    return Night(folder, check_run(folder))


def find_before(layout: Layout, day: datetime.date) -> Night | None:
    """Return the newest night before ``day``; None where there is none."""
    earlier = [date for date in _list_dates(layout) if date < day.isoformat()]
    return open_night(layout, datetime.date.fromisoformat(earlier[-1])) if earlier else None


def _list_dates(layout: Layout) -> list[str]:
    folders = sorted(path.name.removeprefix("dt=") for path in layout.exports.glob("dt=????-??-??"))
    return [date for date in folders if _list_runs(layout, date)]


def _list_runs(layout: Layout, date: str) -> list[Path]:
    return [path.parent for path in sorted((layout.exports / f"dt={date}").glob("run=*/manifest.json"))]


def _read_published(layout: Layout) -> str:
    path = layout.exports / POINTER
    if not path.is_file():
        return ""
    return str(read_facts(path, f"illmrec recommend --dataset {layout.dataset}").values.get("run"))


def read_audit(layout: Layout, night: Night) -> tuple[AuditLine, ...]:
    """Return the newest audit kept of a run; nothing where no receipt of it is left."""
    for path in sorted(layout.receipts.glob("*-audit.json"), reverse=True):
        facts = read_facts(path, f"illmrec recommend --dataset {layout.dataset}")
        if f"run={facts.values.get('run')}" == night.folder.name and facts.values.get("date") == night.date:
            try:
                return tuple(_read_check(check) for check in facts.values["checks"])
            except (KeyError, TypeError, ValueError) as error:
                raise facts.refuse(f"is no audit of a night ({error!r})") from None
    return ()


def _read_check(check: Mapping[str, Any]) -> AuditLine:
    bounds = [f"at least {check['low']:g}"] if check["low"] is not None else []
    bounds += [f"at most {check['high']:g}"] if check["high"] is not None else []
    allowed = " and ".join(bounds) or "no bound"
    compared = check["value"] is not None
    return AuditLine(str(check["name"]), str(check["told"]), allowed, check["passed"] is True, compared)


def _describe(night: Night) -> tuple[tuple[str, str], ...]:
    facts = night.manifest
    return (
        ("Night", night.date),
        ("Run", night.folder.name.removeprefix("run=")),
        ("Model", night.model),
        ("ONNX head", str(facts.get("onnx_sha256", ""))[:16]),
        ("Items withdrawn", f"{count_withdrawn(night):,}"),
    )


def count_withdrawn(night: Night) -> int:
    """Return how many items must not be recommended in a night; nights of earlier releases know of none."""
    return int(night.manifest.get("items_withdrawn", 0))


def _measure_freshness(
    layout: Layout, items: Layout, night: Night, day: datetime.date, command: str
) -> tuple[tuple[str, str], ...]:
    path = layout.prepared / "interactions.parquet"
    times = read_table(path, command, {TIMESTAMP: pl.Int64})[TIMESTAMP]
    midnight = datetime.datetime.combine(day, datetime.time(), tzinfo=datetime.UTC).timestamp()
    newest: Any = times.filter(times < midnight).max()
    age = count_days(newest, day)
    told = "none" if age is None else f"{_name_day(newest)}, {age:,} {'day' if age == 1 else 'days'} before the night"
    rows = [("Newest interaction of the core", told), ("Tables prepared", _date_file(path))]
    rows += [
        (f"{kind.capitalize()} features made", _date_file(items.features(kind) / "header.json"))
        for kind in ("image", "text")
    ]
    promoted = _find_promotion(layout, str(night.manifest.get("model_version", "")))
    return (*rows, ("Model promoted", promoted), ("Night written", _date_file(night.folder / "manifest.json")))


def _find_promotion(layout: Layout, version: str) -> str:
    """Return when a version became champion, as the receipts of this machine say."""
    for path in sorted(layout.receipts.glob("*-promote.json"), reverse=True):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        if isinstance(facts, dict) and facts.get("promoted") is True and str(facts.get("version")) == version:
            stamp = datetime.datetime.strptime(path.name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
            return f"{stamp:%Y-%m-%d %H:%M} UTC"
    return "no receipt here"


def _date_file(path: Path) -> str:
    if not path.is_file():
        return "not here"
    return f"{datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _name_day(timestamp: int) -> str:
    return datetime.datetime.fromtimestamp(timestamp, datetime.UTC).date().isoformat()


Groups = list[tuple[str, list[tuple[str, int]]]]


def _group_items(now: pl.DataFrame, change: Change | None) -> Groups:
    groups: Groups = [("Shown to most users", count_items(now)[:SHOWN_ITEMS])]
    if change is not None:
        groups.append(("New in the lists tonight", list(change.entered[:SHOWN_ITEMS])))
        groups.append(("In no list any more", list(change.left[:SHOWN_ITEMS])))
    return groups


def choose_readers(now: pl.DataFrame, before: pl.DataFrame | None, count: int, *parts: str) -> list[str]:
    """Return some users, drawn with a fixed seed; of those in both nights where there are enough."""
    mine = set(now[USER_ID].unique())
    both = mine if before is None else mine & set(before[USER_ID].unique())
    pool = sorted(both or mine)
    order = generator("night", *parts).permutation(len(pool))[:count]
    return sorted(pool[place] for place in order)


def _list_shown(groups: Groups, users: list[str], now: pl.DataFrame, before: pl.DataFrame | None) -> set[str]:
    items = {item for _, pairs in groups for item, _ in pairs}
    for table in (now, before):
        if table is not None:
            rows = table.filter(pl.col(USER_ID).is_in(users), pl.col("rank") <= TOP)
            items |= set(rows[ITEM_ID])
    return items


def _make_tiles(layout: Layout, catalog: Catalog, wanted: set[str], pixels: int) -> dict[str, Tile]:
    ids = sorted(wanted)
    places = dict(zip(ids, catalog.index_items(pl.Series(ids, dtype=pl.String)).tolist(), strict=True))
    here = {index for index in places.values() if index >= 0}
    thumbnails = make_thumbnails(list_readable_pictures(Shelf(layout), catalog), here, pixels)
    titles = dict(zip(sorted(here), catalog.items[sorted(here)]["title"], strict=True))
    return {
        item: Tile(shorten(item, ID_LENGTH), shorten(titles.get(index, ""), TITLE_LENGTH), thumbnails.get(index))
        for item, index in places.items()
    }


def _build_reader(user: str, now: pl.DataFrame, before: pl.DataFrame | None, tiles: Mapping[str, Tile]) -> Reader:
    mine = now.filter(pl.col(USER_ID) == user).sort("rank")
    theirs = None if before is None else before.filter(pl.col(USER_ID) == user).sort("rank")
    known = None if theirs is None or theirs.is_empty() else set(theirs[ITEM_ID])
    still = set(mine[ITEM_ID])
    shown = [Shown(tiles[item], known is not None and item not in known) for item in mine[ITEM_ID].head(TOP)]
    was = [] if theirs is None else [Shown(tiles[item], item not in still) for item in theirs[ITEM_ID].head(TOP)]
    return Reader(shorten(user, ID_LENGTH), tuple(shown), tuple(was), str(mine["reason"][0]))
