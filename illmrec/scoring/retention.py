"""Removing old nights, and nothing else."""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from illmrec import atomic
from illmrec.errors import DataError
from illmrec.scoring.output import MANIFEST, read_manifest

_DATE = re.compile(r"dt=(\d{4}-\d{2}-\d{2})")
_RUN = re.compile(r"run=[0-9a-f]{12}")


def prune_nights(exports: Path, keep: int, kept: Collection[Path]) -> list[Path]:
    """Remove the runs of all dates but the newest ``keep``; return what was removed.

    A run is removed only when it holds exactly what its manifest lists, so a folder that anyone else wrote or added to
    stays. A reader who already has the run's files open keeps them.

    Args:
        exports: the data set's exports.
        keep: dates to keep.
        kept: runs that stay whatever their date: what readers are pointed to, first of all.
    """
    dates = sorted((path for path in exports.glob("dt=*") if _read_date(path)), key=lambda path: path.name)
    removed = []
    for date in dates[: max(len(dates) - keep, 0)]:
        atomic.sweep_partial(date)
        for run in sorted(date.glob("run=*")):
            if run not in kept and _is_ours(run):
                # Renamed first: nobody ever sees half of it, and what a kill leaves is swept the next time.
                doomed = date / f".{run.name}{atomic.TEMPORARY_MARK}old"
                run.rename(doomed)
                shutil.rmtree(doomed)
                removed.append(run)
        if not any(date.iterdir()):
            date.rmdir()
    return removed


def _read_date(path: Path) -> datetime.date | None:
    found = _DATE.fullmatch(path.name)
    if found is None or not path.is_dir() or path.is_symlink():
        return None
    try:
        return datetime.date.fromisoformat(found[1])
    except ValueError:
        return None


def _is_ours(run: Path) -> bool:
    if not _RUN.fullmatch(run.name) or run.is_symlink():
        return False
    try:
        manifest = read_manifest(run)
    except DataError:
        return False
    return {path.name for path in run.iterdir()} == {MANIFEST, *manifest["files"], *manifest["copies"]}
