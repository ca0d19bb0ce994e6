"""What somebody planted in a registered model is refused by name, and none of it runs."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from illmrec.errors import ModelError
from illmrec.scoring.head import Head
from pipelines.registry.version import DIGEST_TAGS, Version
from pipelines.registry.version_files import fetch_version

MODEL_FILE = {
    "flavors": {"onnx": {"data": "model.onnx", "code": None}, "python_function": {"loader_module": "mlflow.onnx"}}
}


def make_graph(*, outside: str = "") -> bytes:
    """Build a small graph; ``outside`` says where a tensor hides that lies in another file."""
    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    if outside:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", "../../../../etc/hostname"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])]
    nodes, initializers = [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight]
    if outside == "constant":
        nodes, initializers = [helper.make_node("Constant", [], ["w"], value=weight), *nodes], []
    if outside == "inner graph":
        body = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["z"])], "b", [], [outputs[0]], [weight])
        nodes, initializers = [helper.make_node("If", ["c"], ["y"], then_branch=body, else_branch=body)], []
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, initializers)).SerializeToString()


class Store:
    """Stands in for the registry: its download copies a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def download(self, version: Version, folder: Path) -> Path:
        shutil.copytree(self.folder, folder, symlinks=True)
        return folder


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    folder = tmp_path / "stored"
    (folder / "extra_files").mkdir(parents=True)
    (folder / "MLmodel").write_text(yaml.safe_dump(MODEL_FILE))
    (folder / "requirements.txt").write_text("onnxruntime\n")
    (folder / "model.onnx").write_bytes(make_graph())
    (folder / "extra_files" / "tensors.safetensors").write_bytes(b"tensors")
    (folder / "extra_files" / "state.json").write_text("{}")
    return folder


def fetch(stored: Path, tmp_path: Path) -> Any:
    """Fetch with tags that fit the files: whoever plants a file can change its tag as well."""
    paths = {"head.onnx": "model.onnx", **{name: f"extra_files/{name}" for name in DIGEST_TAGS if name != "head.onnx"}}
    tags = {tag: hashlib.sha256((stored / paths[name]).read_bytes()).hexdigest() for name, tag in DIGEST_TAGS.items()}
    store: Any = Store(stored)
    return fetch_version(store, Version("m", "1", "run", tags), tmp_path / "fetched")


class Bomb:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_a_version_as_it_should_be_is_taken(stored: Path, tmp_path: Path) -> None:
    assert (fetch(stored, tmp_path).folder / "head.onnx").is_file()


@pytest.mark.parametrize("name", ["python_model.pkl", "extra_files/state.pickle", "extra_files/model.pt", "data.bin"])
def test_a_pickle_is_refused_unread(stored: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    (stored / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ModelError, match="does not belong there") as caught:
        fetch(stored, tmp_path)
    assert name in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python_function": {"loader_module": "planted"}}, "asks to be loaded by 'planted'"),
        ({"python_function": {"loader_module": "mlflow.onnx", "code": "code"}}, "brings code of its own"),
        ({"python_function": {}}, "asks to be loaded by None"),
        ({"python_function": "planted"}, "cannot be read"),
    ],
)
def test_code_named_in_the_model_file_is_refused_and_not_run(
    stored: Path, tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "planted.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    (stored / "MLmodel").write_text(yaml.safe_dump({"flavors": {**MODEL_FILE["flavors"], **change}}))
    with pytest.raises(ModelError, match=said):
        fetch(stored, tmp_path)
    assert not mark.exists()


def test_a_python_file_beside_the_model_is_refused(stored: Path, tmp_path: Path) -> None:
    (stored / "code").mkdir()
    (stored / "code" / "planted.py").write_text("raise SystemExit\n")
    with pytest.raises(ModelError, match=r"code/planted\.py"):
        fetch(stored, tmp_path)


def test_a_tag_of_yaml_that_builds_objects_is_refused(stored: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (stored / "MLmodel").write_text(f"flavors: !!python/object/apply:pathlib.Path.touch [{mark}]\n")
    with pytest.raises(ModelError, match="cannot be read"):
        fetch(stored, tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("outside", ["initializer", "constant", "inner graph"])
def test_a_tensor_outside_the_file_is_refused_wherever_it_hides(stored: Path, tmp_path: Path, outside: str) -> None:
    (stored / "model.onnx").write_bytes(make_graph(outside=outside))
    with pytest.raises(ModelError, match="lies outside the file"):
        fetch(stored, tmp_path)
    onnx.load_model_from_string(make_graph())  # the control: the same graph without it is one


@pytest.mark.parametrize("outside", ["initializer", "constant", "inner graph"])
def test_the_head_itself_refuses_it_too(tmp_path: Path, outside: str) -> None:
    path = tmp_path / "head.onnx"
    path.write_bytes(make_graph(outside=outside))
    with pytest.raises(ModelError, match="lies outside the file"):
        Head(path)
    path.write_bytes(make_graph())
    with pytest.raises(ModelError) as caught:
        Head(path)
    assert "outside" not in str(caught.value), "the control: the same graph without it is refused for another reason"


def test_a_link_is_refused(stored: Path, tmp_path: Path) -> None:
    (stored / "extra_files" / "state.json").unlink()
    (tmp_path / "elsewhere.json").write_text("{}")
    (stored / "extra_files" / "state.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(ModelError, match="holds a link"):
        fetch(stored, tmp_path)


def test_nothing_refused_is_kept(stored: Path, tmp_path: Path) -> None:
    (stored / "python_model.pkl").write_bytes(b"")
    with pytest.raises(ModelError):
        fetch(stored, tmp_path)
    assert not list((tmp_path / "root/work/releases").rglob("*.*"))
