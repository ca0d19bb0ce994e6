from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from illmrec.errors import ModelError
from illmrec.features.matrix import MatrixHeader, normalise, open_matrix, write_matrix

HEADER = MatrixHeader(
    kind="image", encoder="e", revision="commit:1", width=4, normalisation="rms", item_digest="abc", missing=1,
    missing_policy="text_tower",
)  # fmt: skip
VALUES = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
PRESENT = np.array([True, True, False, True, True, True])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_matrix(tmp_path / "image", HEADER, VALUES, PRESENT)
    return tmp_path / "image"


def test_what_was_written_is_read(folder: Path) -> None:
    matrix = open_matrix(folder, "abc")
    assert matrix.header == HEADER
    assert np.array_equal(matrix.present, PRESENT)
    rows = matrix.rows(np.array([5, 0, 5]))
    assert rows.dtype == np.float32
    assert np.array_equal(rows, VALUES.astype(np.float16).astype(np.float32)[[5, 0, 5]])
    assert np.abs(rows - VALUES[[5, 0, 5]]).max() < 2e-3
    assert matrix.rows(np.zeros(0, dtype=np.int64)).shape == (0, 4)
    assert isinstance(matrix.values, np.memmap)
    assert not matrix.values.flags.writeable


def test_equal_values_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write_matrix(tmp_path / "again", HEADER, VALUES, PRESENT)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_another_catalogs_matrix_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="another catalog") as caught:
        open_matrix(folder, "abd")
    assert "dvc repro" in caught.value.hint


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
def test_what_float16_cannot_hold_is_refused_by_row(bad: float, folder: Path) -> None:
    values = VALUES.copy()
    values[3, 1] = bad
    with pytest.raises(ModelError, match="row 3"):
        write_matrix(folder, HEADER, values, PRESENT)
    assert open_matrix(folder, "abc").header == HEADER, "the old matrix stays"


@pytest.mark.parametrize(("values", "present"), [(VALUES[:, :3], PRESENT), (VALUES, PRESENT[:5])])
def test_shapes_that_disagree_are_refused(values: np.ndarray, present: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected"):
        write_matrix(tmp_path / "x", HEADER, values, present)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["values.npy", "present.npy", "header.json"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_files_are_refused(name: str, share: float, folder: Path) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelError):
        open_matrix(folder, "abc")


@pytest.mark.parametrize("name", ["values.npy", "present.npy", "header.json"])
def test_missing_files_are_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        open_matrix(folder, "abc")


def test_pickled_arrays_are_refused(folder: Path) -> None:
    np.save(folder / "present.npy", np.array([{"a": 1}] * 6, dtype=object), allow_pickle=True)
    with pytest.raises(ModelError):
        open_matrix(folder, "abc")


@pytest.mark.parametrize("change", [{"width": 5}, {"surprise": 1}, {"width": None}])
def test_headers_that_do_not_fit_are_refused(change: dict[str, object], folder: Path) -> None:
    header = json.loads((folder / "header.json").read_text()) | change
    (folder / "header.json").write_text(json.dumps(header))
    with pytest.raises(ModelError):
        open_matrix(folder, "abc")


def test_rows_are_scaled_to_a_root_mean_square_of_one() -> None:
    scaled = normalise(np.array([[3.0, 4.0, 0.0, 0.0], [1e-3, 0, 0, 0]], dtype=np.float32), "rms")
    assert scaled[0].tolist() == pytest.approx([1.2, 1.6, 0, 0])  # the root mean square of 3, 4, 0, 0 is 2.5
    assert np.sqrt((scaled**2).mean(axis=1)).tolist() == pytest.approx([1.0, 1.0])
    assert scaled.dtype == np.float32


def test_one_scale_keeps_relative_lengths() -> None:
    values = np.array([[3.0, 4.0], [6.0, 8.0]], dtype=np.float32)
    scaled = normalise(values, "global_rms")
    assert float(np.sqrt((scaled**2).mean())) == pytest.approx(1.0)
    assert (np.linalg.norm(scaled, axis=1)[1] / np.linalg.norm(scaled, axis=1)[0]) == pytest.approx(2.0)


@pytest.mark.parametrize("how", ["rms", "global_rms"])
def test_zeros_stay_zeros(how: str) -> None:
    assert normalise(np.zeros((2, 3), dtype=np.float32), how).tolist() == [[0.0] * 3] * 2
    assert replace(HEADER, normalisation=how).normalisation == how
