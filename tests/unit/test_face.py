"""The face of the library: its names load when asked for, have types, and do what their examples say."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from mypy import api
from onnx import helper

import illmrec
from benchmarks.tiny import WIDTHS, build_recommender
from illmrec.columns import IMAGES
from illmrec.data.items import build_items, clean_items, select_raw_texts
from illmrec.features.matrix import write_matrix
from illmrec.models.backbone import Backbone
from illmrec.models.recommender import Recommender
from illmrec.scoring.output import RECOMMENDATIONS, move_pointer, write_run

INTERACTIONS = """user_id,item_id,timestamp
ann,lamp,2026-01-01
ann,lamp,2026-01-01
ann,pan,2026-01-02
ann,kit,2026-01-03
ann,rug,2026-01-04
ann,lamp,2026-01-05
bob,lamp,2026-01-01
bob,rug,2026-01-02
bob,kit,2026-01-03
eve,pan,2026-01-01
eve,kit,2026-01-02
eve,lamp,2026-01-03
"""
ITEMS = """item_id,title,brand,category,description
kit,Trail kit,Wolt,Sport > Shoes,A light blue kit for the trail.
lamp,Soft lamp,Arven,Home > Light,
pan,Steel pan,,Kitchen,A large pan of steel.
rug,Canvas rug,Nordby,Home,
"""
FOREIGN = "torch,transformers,onnx,onnxruntime,PIL,isal,pyarrow,polars,numpy,pydantic,scipy,safetensors,tqdm"


def write_project(root: Path) -> None:
    """Write what the examples read: raw files, tables and a night."""
    raw, prepared = root / "data/shop", root / "artifacts/shop/prepared"
    raw.mkdir(parents=True)
    (raw / "interactions.csv").write_text(INTERACTIONS)
    (raw / "items.csv").write_text(ITEMS)
    catalog = illmrec.read_raw("own", raw)
    chosen = illmrec.select_core(catalog.interactions, repeats="first", user_core=3, item_core=1, seed=0)
    pictures = [(item, 0, f"{item}.png", "ok", "", 8, 8, 64, "") for item in ("kit", "lamp", "rug")]
    images = pl.DataFrame(pictures, schema=IMAGES, orient="row")
    items = build_items(clean_items(select_raw_texts(catalog.items, chosen.item_ids)), chosen.item_ids, images)[0]
    split = illmrec.split_leave_one_out(chosen.core, illmrec.Catalog(items))
    prepared.mkdir(parents=True)
    (root / "artifacts/shop/split").mkdir()
    items.write_parquet(prepared / "items.parquet")
    chosen.core.write_parquet(prepared / "interactions.parquet")
    split.sequences.write_parquet(root / "artifacts/shop/split/sequences.parquet")
    best = [("ann", "rug"), ("ann", "kit"), ("bob", "kit"), ("bob", "pan"), ("eve", "lamp"), ("eve", "rug")]
    rows = [
        (user, place % 2 + 1, item, 1.0, 0.5, 0.25, 0.25, "model", False, False, "1")
        for place, (user, item) in enumerate(best)
    ]
    night = root / "exports/shop/dt=2026-01-31/run=0123456789ab"
    night.mkdir(parents=True)
    table = pl.DataFrame(rows, schema=RECOMMENDATIONS, orient="row")
    write_run(night, table, 2, {"date": "2026-01-31", "model": "shop", "model_version": "1"})
    move_pointer(root / "exports/shop", night)


def write_model(root: Path, backbone: Backbone) -> Recommender:
    """Write features and head of an untrained model, and return it."""
    catalog = illmrec.Catalog(pl.read_parquet(root / "artifacts/shop/prepared/items.parquet"))
    recommender = build_recommender(backbone, catalog.items)
    image = recommender.features["image"]
    header = image.header.__class__(**vars(image.header) | {"item_digest": catalog.digest})
    write_matrix(root / "artifacts/shop/features/image", header, np.asarray(image.values, np.float32), image.present)
    (root / "artifacts/shop/head").mkdir()
    (root / "artifacts/shop/head/head.onnx").write_bytes(write_head(backbone.width, WIDTHS))
    return recommender


def write_head(llm_width: int, widths: dict[str, int]) -> bytes:
    """Return a head with the form of an exported one, which takes seconds to export: zeros of width 2 a type."""

    def describe(name: str, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    def fill(name: str, rows: int, columns: int) -> onnx.TensorProto:
        return helper.make_tensor(name, onnx.TensorProto.FLOAT, [rows, columns], np.zeros(rows * columns))

    width, total = 2 * len(widths), sum(widths.values())
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["hidden", "user_side"], ["users"]),
            helper.make_node("Concat", [*widths], ["features"], axis=1),
            helper.make_node("MatMul", ["features", "item_side"], ["items"]),
        ],
        "head",
        [describe("hidden", "n", llm_width), *(describe(kind, "m", of) for kind, of in widths.items())],
        [describe("users", "n", width), describe("items", "m", width)],
        [fill("user_side", llm_width, width), fill("item_side", total, width)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10).SerializeToString()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_backbone: Backbone) -> tuple[Path, Recommender]:
    root = tmp_path_factory.mktemp("face")
    write_project(root)
    return root, write_model(root, tiny_backbone)


@pytest.mark.parametrize("name", illmrec.__all__)
def test_the_example_of_a_name_does_what_it_says(
    name: str, project: tuple[Path, Recommender], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, recommender = project
    monkeypatch.chdir(root)
    scope = {"illmrec": illmrec, "np": np, "pl": pl, "Path": Path, "recommender": recommender}
    docstring = inspect.getdoc(getattr(illmrec, name)) or ""
    example = doctest.DocTestParser().get_doctest(docstring, scope, name, None, None)
    assert example.examples
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed == 0, "".join(said)


@pytest.mark.parametrize("name", illmrec.__all__)
def test_a_name_has_a_docstring_with_every_argument(name: str) -> None:
    thing = getattr(illmrec, name)
    docstring = inspect.getdoc(thing) or ""
    assert thing.__module__.startswith("illmrec.")
    missing = [one for one in inspect.signature(thing).parameters if f"\n    {one}: " not in docstring]
    assert not missing


def test_the_face_is_listed_and_nothing_else_is_offered() -> None:
    assert [name for name in dir(illmrec) if not name.startswith("__")] == sorted(illmrec.__all__)
    assert len(set(illmrec.__all__)) == len(illmrec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recomender'"):
        _ = illmrec.Recomender  # type: ignore[attr-defined]


def test_importing_the_library_imports_none_of_it() -> None:
    heavy = "{'numpy', 'polars', 'torch', 'onnxruntime', 'illmrec.errors'}"
    text = f"import sys, illmrec; dir(illmrec); assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", text], check=True)


@pytest.mark.parametrize("name", ["Head", "open_search", "read_user"])
def test_what_serves_needs_no_torch(name: str) -> None:
    text = f"import sys; from illmrec import {name}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", text], check=True)


def test_a_star_import_brings_the_face() -> None:
    scope: dict[str, object] = {}
    exec("from illmrec import *", scope)
    assert {name: scope[name] for name in illmrec.__all__} == {name: getattr(illmrec, name) for name in illmrec.__all__}


def test_a_type_checker_sees_the_types(tmp_path: Path) -> None:
    """Other packages are left out: reading torch's types alone takes a minute."""
    assert (Path(illmrec.__file__).parent / "py.typed").is_file()
    lines = ["from pathlib import Path", "import illmrec"]
    lines += [f"reveal_type(illmrec.{name})" for name in illmrec.__all__]
    lines += ['reveal_type(illmrec.read_raw("own", Path()).rows)', 'illmrec.read_raw("none", Path())', "illmrec.Heads"]
    script, config = tmp_path / "script.py", tmp_path / "mypy.ini"
    script.write_text("\n".join(lines))
    skipped = ",".join(f"{name}.*" for name in FOREIGN.split(","))
    config.write_text(
        "[mypy]\nstrict = true\n[mypy-illmrec.*]\nfollow_imports = silent\n"
        f"[mypy-{skipped}]\nfollow_imports = skip\nfollow_imports_for_stubs = true\n"
    )
    text, faults, _ = api.run(["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), str(script)])
    assert not faults
    revealed = [line.split("Revealed type is ")[1] for line in text.splitlines() if "Revealed type" in line]
    assert len(revealed) == len(illmrec.__all__) + 1
    assert '"Any"' not in revealed
    assert revealed[-1] == '"dict[str, int]"'
    assert revealed[illmrec.__all__.index("Recommender")].endswith('-> illmrec.models.recommender.Recommender"')
    errors = [line.split("error: ")[1] for line in text.splitlines() if "error: " in line]
    assert ["arg-type" in errors[0], "attr-defined" in errors[1], len(errors)] == [True, True, 2]
