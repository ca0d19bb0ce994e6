"""The audit log of alias moves: chained, append-only, and enough to go back by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from illmrec.errors import ModelError
from pipelines.registry.alias_log import (
    HEAD_TAG,
    Entry,
    append_entry,
    check_head,
    digest_line,
    list_champions,
    list_rolled_back,
    move_alias,
    read_log,
)
from pipelines.registry.version import Version


def write_moves(path: Path, moves: list[tuple[str, str | None, str]]) -> list[Entry]:
    return [
        append_entry(path, model="m", alias="champion", action=action, from_version=old, to_version=new, why="because")
        for action, old, new in moves  # type: ignore[misc]
    ]


THREE = [("promote", None, "1"), ("promote", "1", "2"), ("promote", "2", "3")]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    written = write_moves(tmp_path / "log", THREE)
    assert read_log(tmp_path / "log") == written
    assert [entry.number for entry in written] == [1, 2, 3]
    assert read_log(tmp_path / "none") == []


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("change", ["because", "champion"])
def test_a_changed_line_is_noticed_where_it_stands(tmp_path: Path, line: int, change: str) -> None:
    path = tmp_path / "log"
    head = write_moves(path, THREE)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(change.encode(), b"elsewise")
    path.write_bytes(b"".join(lines))
    if line < 2:  # the next line's chain shows it
        with pytest.raises(ModelError, match="broken"):
            read_log(path)
        with pytest.raises(ModelError):
            write_moves(path, [("promote", "3", "4")])
    else:  # of the last line, the registry knows the digest
        with pytest.raises(ModelError, match="the registry knows 3 lines"):
            check_head(path, read_log(path), f"3 {digest_line(head.render())}")


def test_removed_lines_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = write_moves(path, THREE)[-1]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]))
    with pytest.raises(ModelError, match="the registry knows 3 lines"):
        check_head(path, read_log(path), f"3 {digest_line(head.render())}")
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(ModelError, match="broken"):
        read_log(path)


def test_a_torn_last_line_never_took_effect(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_moves(path, THREE)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 5])
    assert len(read_log(path)) == 3
    write_moves(path, [("promote", "3", "4")])
    assert [entry.to_version for entry in read_log(path)] == ["1", "2", "3", "4"]


def read_moves(*moves: tuple[str, str | None, str], tmp_path: Path) -> list[Entry]:
    write_moves(tmp_path / "log", list(moves))
    return read_log(tmp_path / "log")


def test_going_back_twice_goes_back_further(tmp_path: Path) -> None:
    entries = read_moves(*THREE, ("rollback", "3", "2"), tmp_path=tmp_path)
    assert list_champions(entries, "champion", "2") == ["1", "2"]
    assert list_rolled_back(entries, "champion") == {"3"}
    assert list_champions(entries, "challenger", None) == []


def test_a_new_champion_after_a_rollback_goes_back_to_what_was_left(tmp_path: Path) -> None:
    entries = read_moves(*THREE, ("rollback", "3", "2"), ("promote", "2", "4"), tmp_path=tmp_path)
    assert list_champions(entries, "champion", "4") == ["1", "2", "4"]


def test_a_forced_return_is_no_longer_rolled_back(tmp_path: Path) -> None:
    entries = read_moves(*THREE, ("rollback", "3", "2"), ("force", "2", "3"), tmp_path=tmp_path)
    assert list_rolled_back(entries, "champion") == set()


def test_a_move_that_never_happened_is_left_out(tmp_path: Path) -> None:
    entries = read_moves(*THREE, tmp_path=tmp_path)
    assert list_champions(entries, "champion", "2") == ["1", "2"]
    # moved by hand: the log does not know of it
    assert list_champions(entries, "champion", "9") == ["1", "2", "3", "9"]


def test_a_move_that_failed_before_another_is_left_out(tmp_path: Path) -> None:
    entries = read_moves(("promote", None, "3"), ("promote", "3", "4"), ("promote", "3", "5"), tmp_path=tmp_path)
    assert list_champions(entries, "champion", "5") == ["3", "5"]


def test_lines_added_behind_the_registrys_back_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = write_moves(path, THREE)[-1]
    known = f"3 {digest_line(head.render())}"
    write_moves(path, [("promote", "3", "4")])
    check_head(path, read_log(path), known)
    write_moves(path, [("promote", "4", "5")])
    with pytest.raises(ModelError, match="knows 3 lines, here are 5"):
        check_head(path, read_log(path), known)


class Store:
    """Stands in for the tracker; ``fails`` makes the alias move fail."""

    def __init__(self, *, fails: bool = False) -> None:
        self.alias: str | None = None
        self.tags: dict[str, str] = {}
        self.fails = fails

    def find(self, name: str, alias: str) -> Version | None:
        return Version(name, self.alias, "run", {}) if self.alias else None

    def set_alias(self, version: Version, alias: str) -> None:
        if self.fails:
            raise KeyboardInterrupt
        self.alias = version.number

    def read_model_tag(self, name: str, tag: str) -> str | None:
        return self.tags.get(tag)

    def set_model_tag(self, name: str, tag: str, value: str) -> None:
        self.tags[tag] = value


def move(path: Path, store: Any, version: str) -> Entry:
    return move_alias(path, store, Version("m", version, "run", {}), "champion", action="promote", why="good")


def test_the_line_is_there_before_the_alias_moves(tmp_path: Path) -> None:
    store = Store()
    move(tmp_path / "log", store, "1")
    store.fails = True
    with pytest.raises(KeyboardInterrupt):
        move(tmp_path / "log", store, "2")
    entries = read_log(tmp_path / "log")
    assert [(entry.from_version, entry.to_version) for entry in entries] == [(None, "1"), ("1", "2")]
    assert list_champions(entries, "champion", store.alias) == ["1"]
    store.fails = False
    move(tmp_path / "log", store, "2")  # the crash does not stand in the way
    assert store.tags[HEAD_TAG].split()[0] == "3"


def test_nothing_moves_when_the_log_was_cut(tmp_path: Path) -> None:
    store = Store()
    for version in ("1", "2"):
        move(tmp_path / "log", store, version)
    (tmp_path / "log").unlink()
    with pytest.raises(ModelError, match="the registry knows 2 lines"):
        move(tmp_path / "log", store, "3")
    assert store.alias == "2"
