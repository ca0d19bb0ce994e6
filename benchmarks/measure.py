"""Time in alternating pairs, peak memory, and how a benchmark prints what it found."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One comparison of a benchmark."""

    case: str
    """What was run."""
    reference_s: float
    """Median seconds of the reference."""
    ours_s: float
    """Median seconds of this code."""
    speedup: float
    """Median over the pairs of reference divided by ours."""
    spread: tuple[float, float]
    """Smallest and largest speedup of a pair."""
    reference_peak_mb: float | None
    """Most memory the reference took beyond what was there before it; None where the system does not tell."""
    ours_peak_mb: float | None
    """The same of this code."""
    max_abs_diff: float | None
    """Largest difference of the results; None where there is nothing to compare."""
    reference_saved_mb: float | None = None
    """What the reference keeps of its forward pass for the backward one, in MB; None where there is no such thing."""
    ours_saved_mb: float | None = None
    """The same of this code."""


def compare(
    case: str,
    reference: Callable[[], object],
    ours: Callable[[], object],
    *,
    pairs: int,
    max_abs_diff: float | None = None,
    per: int = 1,
    clock: Clock | None = None,
    warm: bool = True,
) -> Row:
    """Run both in turn, the reference first, and return their row.

    Args:
        case: name of the row.
        reference: the plain way.
        ours: this code.
        pairs: how often; each also runs once before, for its memory alone, unless ``warm`` is false.
        max_abs_diff: largest difference of their results.
        per: seconds are divided by this number.
        clock: tells seconds; those of the processor when not given.
        warm: whether to run each once before; without it, runs of minutes are neither warmed up nor done twice, and
            memory is that of the last pair.
    """
    clock = clock or time.process_time
    if warm:
        peaks = (measure_peak_mb(reference), measure_peak_mb(ours))
        times = [(_time(reference, clock), _time(ours, clock)) for _ in range(pairs)]
    else:
        both = [(_time_with_peak(reference, clock), _time_with_peak(ours, clock)) for _ in range(pairs)]
        times = [(first[0], second[0]) for first, second in both]
        peaks = (both[-1][0][1], both[-1][1][1])
    return make_row(case, [(first / per, second / per) for first, second in times], peaks, max_abs_diff)


def make_row(
    case: str,
    times: Sequence[tuple[float, float]],
    peaks: tuple[float | None, float | None] = (None, None),
    max_abs_diff: float | None = None,
) -> Row:
    """Return the row of pairs (seconds of the reference, seconds of this code) that were timed elsewhere."""
    ratios = [reference / ours for reference, ours in times]
    return Row(
        case=case,
        reference_s=statistics.median(reference for reference, _ in times),
        ours_s=statistics.median(ours for _, ours in times),
        speedup=statistics.median(ratios),
        spread=(min(ratios), max(ratios)),
        reference_peak_mb=peaks[0],
        ours_peak_mb=peaks[1],
        max_abs_diff=max_abs_diff,
    )


def _time(run: Callable[[], object], clock: Clock) -> float:
    gc.collect()
    start = clock()
    run()
    return clock() - start


def _time_with_peak(run: Callable[[], object], clock: Clock) -> tuple[float, float | None]:
    times: list[float] = []
    peak = measure_peak_mb(lambda: times.append(_time(run, clock)))
    return times[0], peak


def measure_peak_mb(run: Callable[[], object]) -> float | None:
    """Return how far the process's memory rose above its level before ``run``, in MB; None outside Linux."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # freed memory back to the system, so that it does not hide new use
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the recorded peak
        before = _read_status("VmRSS")
    except (OSError, KeyError):
        run()
        return None
    run()
    return (_read_status("VmHWM") - before) / 1000


def _read_status(name: str) -> float:
    """Return one entry of the process's status in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(dict(line.split(":", 1) for line in lines)[name].split()[0])


def describe_machine() -> dict[str, Any]:
    """Return what decides how fast things run: processor, cores, versions."""
    import torch

    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"processor": processor, "cores": os.cpu_count(), "system": platform.system()} | versions


def show(name: str, settings: dict[str, Any], rows: list[Row], as_json: bool) -> None:
    """Print one JSON object, or the same as a table, on stdout."""
    if as_json:
        body = {
            "name": name,
            "machine": describe_machine(),
            "settings": settings,
            "rows": [asdict(row) for row in rows],
        }
        click.echo(json.dumps(body))
        return
    for key, value in (describe_machine() | settings).items():
        click.echo(f"{key}: {value}")
    width = max(len(row.case) for row in rows)
    click.echo(
        f"{'case':<{width}}  {'reference':>11}  {'ours':>11}  speedup  {'spread':>13}  {'peak MB':>15}  "
        f"{'saved MB':>15}  difference"
    )
    for row in rows:
        peaks = "-" if row.reference_peak_mb is None else f"{row.reference_peak_mb:.0f} / {row.ours_peak_mb:.0f}"
        saved = "-" if row.reference_saved_mb is None else f"{row.reference_saved_mb:.0f} / {row.ours_saved_mb:.0f}"
        difference = "-" if row.max_abs_diff is None else f"{row.max_abs_diff:.1e}"
        click.echo(
            f"{row.case:<{width}}  {row.reference_s:>9.4f} s  {row.ours_s:>9.4f} s  {row.speedup:>7.2f}  "
            f"{row.spread[0]:>5.2f} - {row.spread[1]:>5.2f}  {peaks:>15}  {saved:>15}  {difference}"
        )
