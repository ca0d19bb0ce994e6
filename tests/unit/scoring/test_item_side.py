"""The projected catalog is made once, and again when it is damaged or something it depends on has changed."""

import os
from pathlib import Path

import numpy as np
import pytest

from illmrec.scoring.item_side import digest_features, keep_items

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


class Projector:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return VALUES + self.calls - 1


def test_a_catalog_is_projected_once_for_each_key(tmp_path: Path) -> None:
    project = Projector()
    first, kept = keep_items(tmp_path, "a" * 64, project, keep=2)
    assert not kept
    again, kept = keep_items(tmp_path, "a" * 64, project, keep=2)
    assert kept
    assert project.calls == 1
    assert again.tobytes() == first.tobytes() == VALUES.tobytes()
    assert not keep_items(tmp_path, "b" * 64, project, keep=2)[1]


@pytest.mark.parametrize("name", ["values.npy", "about.json"])
def test_a_damaged_one_is_projected_anew(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    project = Projector()
    keep_items(tmp_path, "a" * 64, project, keep=2)
    path = next(tmp_path.glob("items-*")) / name
    path.write_bytes(path.read_bytes()[:-4])
    values, kept = keep_items(tmp_path, "a" * 64, project, keep=2)
    assert not kept
    assert project.calls == 2
    assert values.tobytes() == (VALUES + 1).tobytes()
    assert "damaged" in caplog.text


def test_the_oldest_go(tmp_path: Path) -> None:
    for number, key in enumerate("abc"):
        keep_items(tmp_path, key * 64, Projector(), keep=9)
        os.utime(tmp_path / f"items-{key * 32}" / "about.json", (number, number))
    keep_items(tmp_path, "d" * 64, Projector(), keep=2)
    assert sorted(path.name[6] for path in tmp_path.glob("items-*")) == ["c", "d"]


def test_a_digest_knows_names_types_and_every_number() -> None:
    values = {"image": VALUES, "text": VALUES}
    digest = digest_features(values)
    assert digest == digest_features(dict(reversed(list(values.items()))))
    assert digest == digest_features(values, block=1)
    changed = VALUES.copy()
    changed[3, 2] += 1
    for other in ({"image": VALUES, "cf": VALUES}, {"image": VALUES.astype(np.float64), "text": VALUES},
                  {"image": VALUES, "text": changed}):  # fmt: skip
        assert digest_features(other) != digest
