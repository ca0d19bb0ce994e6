from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from illmrec import atomic


class BrokenOffError(Exception):
    pass


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_half_a_file(path: Path) -> None:
    with atomic.write_file(path) as file:
        file.write(b"half")
        raise BrokenOffError


def write_half_a_folder(folder: Path) -> None:
    with atomic.write_folder(folder) as partial:
        (partial / "b").write_text("b")
        raise BrokenOffError


def test_a_file_appears_whole_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic.write_file(path) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with atomic.write_file(path) as file:
        file.write(b"two")
        assert path.read_bytes() == b"one"
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file.txt"]


def test_a_file_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")
    with pytest.raises(BrokenOffError):
        write_half_a_file(path)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for written in (["a", "b"], ["b", "c"]):
        with atomic.write_folder(folder) as partial:
            for name in written:
                (partial / name).write_text(name)
        assert names(folder) == written
    assert names(tmp_path) == ["out"]


def test_a_folder_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with atomic.write_folder(folder) as partial:
        (partial / "a").write_text("a")
    with pytest.raises(BrokenOffError):
        write_half_a_folder(folder)
    assert names(folder) == ["a"]
    assert names(tmp_path) == ["out"]


def test_leftovers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in ("model", "curves"):
        left = tmp_path / f".{name}{atomic.TEMPORARY_MARK}0a1b"
        left.mkdir()
        (left / "file").write_text("x")
    (tmp_path / f".file.json{atomic.TEMPORARY_MARK}77").write_text("x")
    (tmp_path / "model").mkdir()
    (tmp_path / ".hidden").write_text("x")
    assert atomic.sweep_partial(tmp_path, "model") == 1
    assert atomic.sweep_partial(tmp_path) == 2
    assert names(tmp_path) == [".hidden", "model"]
    assert atomic.sweep_partial(tmp_path / "nowhere") == 0


def test_json_is_sorted_exact_and_without_nan(tmp_path: Path) -> None:
    value = {"b": 0.1 + 0.2, "a": ["é", None, True]}
    atomic.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_bytes()
    assert json.loads(text) == value
    assert text.index(b'"a"') < text.index(b'"b"')
    assert "é".encode() in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert (tmp_path / "x.json").read_bytes() == text


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        atomic.write_parquet(tmp_path / name, pl.DataFrame({"x": list(range(1000)), "y": ["z"] * 1000}))
    assert atomic.digest_file(tmp_path / "a") == atomic.digest_file(tmp_path / "b")


def test_a_folders_digest_covers_names_and_contents(tmp_path: Path) -> None:
    def digest(files: dict[str, str]) -> str:
        folder = tmp_path / str(len(names(tmp_path)))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return atomic.digest_folder(folder)

    one = digest({"a": "1", "d/b": "2"})
    assert digest({"d/b": "2", "a": "1"}) == one
    others = [digest({"a": "1", "d/b": "3"}), digest({"a": "1", "b": "2"}), digest({"a": "2", "d/b": "1"}),
              digest({"a": "1"})]  # fmt: skip
    assert len({one, *others}) == 5
    assert atomic.digest_file(tmp_path / "0" / "a") == (
        "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )
