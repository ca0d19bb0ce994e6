"""A step is finished while what it read and wrote is what it was."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from illmrec.errors import DataError
from pipelines.growth.step_log import STATE_FILE, Step, StepLog, sign_files, sign_inputs


def make(folder: Path) -> tuple[Path, Path]:
    source, made = folder / "in", folder / "out"
    for place in (source, made):
        place.mkdir()
        (place / "a.txt").write_text("one")
    StepLog(folder).record("work", sign_inputs({"k": 1}, [source]), [made], {"found": 7})
    return source, made


def find(folder: Path, settings: dict[str, int]) -> dict[str, int] | None:
    return StepLog(folder).find("work", sign_inputs(settings, [folder / "in"]), [folder / "out"])


def test_a_finished_step_is_found_by_the_next_process(tmp_path: Path) -> None:
    make(tmp_path)
    assert find(tmp_path, {"k": 1}) == {"found": 7}


@pytest.mark.parametrize("place", ["in", "out"])
@pytest.mark.parametrize("change", ["content", "time", "new", "gone"])
def test_changed_files_make_it_due_again(tmp_path: Path, place: str, change: str) -> None:
    make(tmp_path)
    file = tmp_path / place / "a.txt"
    if change == "content":
        file.write_text("three")
    elif change == "time":
        os.utime(file, ns=(1, 1))
    elif change == "new":
        (tmp_path / place / "b.txt").write_text("")
    else:
        file.unlink()
    assert find(tmp_path, {"k": 1}) is None


def test_changed_settings_make_it_due_again(tmp_path: Path) -> None:
    make(tmp_path)
    assert find(tmp_path, {"k": 2}) is None


def test_a_damaged_log_says_what_to_do(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / STATE_FILE).write_text("{")
    with pytest.raises(DataError) as caught:
        StepLog(tmp_path)
    assert "begins anew" in caught.value.hint


def test_what_is_not_there_is_signed_too(tmp_path: Path) -> None:
    before = sign_files([tmp_path / "none"])
    (tmp_path / "none").write_text("")
    assert sign_files([tmp_path / "none"]) != before


def make_step(folder: Path, ran: list[str], *, adopts: bool = False) -> Step:
    def run() -> dict[str, Any]:
        (folder / "out").mkdir(exist_ok=True)
        (folder / "out" / "a.txt").write_text(str(len(ran)))
        ran.append("run")
        return {"number": len(ran)}

    return Step("work", {"k": 1}, (folder / "in",), (folder / "out",), run, adopts)


def test_a_step_runs_once_and_is_announced_before(tmp_path: Path) -> None:
    ran: list[str] = []
    step = make_step(tmp_path, ran)
    for _ in range(2):
        assert StepLog(tmp_path).bring_up_to_date(step, lambda one: ran.append(one.name)) == {"number": 2}
    assert ran == ["work", "run"]


def test_what_somebody_else_made_is_adopted_until_the_step_has_run_here(tmp_path: Path) -> None:
    ran: list[str] = []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_text("made by hand")
    assert StepLog(tmp_path).bring_up_to_date(make_step(tmp_path, ran, adopts=True), ran.append) == {"kept": True}
    assert ran == []
    (tmp_path / "in").write_text("changed")
    StepLog(tmp_path).bring_up_to_date(make_step(tmp_path, ran, adopts=True), lambda _: None)
    assert ran == ["run"]


def test_a_step_that_adopts_runs_where_there_is_nothing(tmp_path: Path) -> None:
    ran: list[str] = []
    StepLog(tmp_path).bring_up_to_date(make_step(tmp_path, ran, adopts=True), lambda _: None)
    assert ran == ["run"]
