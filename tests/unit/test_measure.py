from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import measure


class Clock:
    """Stands for the processor: a run of so many seconds moves it on by them."""

    def __init__(self) -> None:
        self.now = 100.0

    def process_time(self) -> float:
        return self.now

    def run(self, *seconds: float) -> Callable[[], None]:
        waiting = iter(seconds)

        def spend() -> None:
            self.now += next(waiting)

        return spend


def test_the_reference_goes_first_and_both_equally_often() -> None:
    order: list[str] = []
    row = measure.compare("x", lambda: order.append("reference"), lambda: order.append("ours"), pairs=2)
    assert order == ["reference", "ours"] * 3
    assert row.case == "x"
    assert row.max_abs_diff is None


def test_speedup_is_the_median_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    # The first run of each is not counted. The pairs' ratios are 2, 4 and 9.
    reference, ours = clock.run(50, 8, 8, 9), clock.run(70, 4, 2, 1)
    row = measure.compare("x", reference, ours, pairs=3, per=2, max_abs_diff=0.5)
    assert (row.reference_s, row.ours_s, row.speedup, row.spread) == (4.0, 1.0, 4.0, (2.0, 9.0))
    assert row.max_abs_diff == 0.5


def test_peak_memory_is_what_a_run_adds() -> None:
    def use(megabytes: int) -> float:
        return float(np.ones(megabytes * 1_000_000, dtype=np.uint8).sum())

    small, large = measure.measure_peak_mb(lambda: use(1)), measure.measure_peak_mb(lambda: use(80))
    if small is None or large is None:
        pytest.skip("this system does not tell")
    assert 70 < large < 110
    assert small < 30


def test_a_result_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    row = measure.Row("case", 2.0, 1.0, 2.0, (1.9, 2.1), 10.0, None, 1e-7)
    measure.show("training", {"pairs": 5}, [row], as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"name", "machine", "settings", "rows"}
    assert set(printed["rows"][0]) == {
        "case", "reference_s", "ours_s", "speedup", "spread", "reference_peak_mb", "ours_peak_mb", "max_abs_diff",
        "reference_saved_mb", "ours_saved_mb",
    }  # fmt: skip


def test_a_result_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [measure.Row("long case", 2.0, 1.0, 2.0, (1.9, 2.1), 10.0, 5.0, None)]
    measure.show("training", {"pairs": 5}, rows, as_json=False)
    printed = capsys.readouterr().out
    assert "pairs: 5" in printed
    assert "long case" in printed
    assert "10 / 5" in printed
