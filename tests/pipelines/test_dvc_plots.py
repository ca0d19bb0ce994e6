"""`dvc plots show` draws every plot of dvc.yaml with a title and named axes; MLflow gets the curves as a picture."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.parameters.reading import STAGES
from pipelines.report.curves import draw_curves

ROOT = Path(__file__).parents[2]
DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PLOTS = {
    path: about
    for stage in DVC.values()
    for plot in stage.get("do", {}).get("plots", [])
    for path, about in plot.items()
}
CURVE = "step,loss,image,validation\n" + "".join(
    f"{step},{9 - step},{step},{0.1 * step if step % 2 else ''}\n" for step in range(1, 7)
)
FILES = {
    "curves/train.csv": CURVE,
    "curves/validation.csv": "step,ndcg\n1,0.1\n3,0.3\n",
    **{f"evaluation/{name}.csv": "model,k,hit,ndcg\nillmrec,5,0.2,0.1\nillmrec,10,0.4,0.2\nsasrec,5,0.1,0.05\n"
       for name in ("full", "sampled", "popular")},
}  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Return what DVC makes of each plot, by file."""
    root = tmp_path_factory.mktemp("plots")
    (root / ".dvc" / "tmp").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = True\n    analytics = False\n")
    shutil.copytree(ROOT / ".dvc" / "plots", root / ".dvc" / "plots")
    shutil.copyfile(ROOT / "dvc.yaml", root / "dvc.yaml")
    sections: dict[str, Any] = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data/shop"}}
    (root / "params.yaml").write_text(json.dumps({"datasets": {"shop": sections}}))
    for name, content in FILES.items():
        path = root / "artifacts/shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(root / "site"), "DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", "plots", "show", "--json"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found.get("errors"), found["errors"]
    return {path: json.loads(versions[0]["content"]) if isinstance(versions[0]["content"], str)
            else versions[0]["content"] for path, versions in found["data"].items()}  # fmt: skip


@pytest.mark.parametrize("path", PLOTS)
def test_a_plot_has_its_title_and_names_its_axes(path: str, drawn: dict[str, dict[str, Any]]) -> None:
    shown, about = drawn[path.replace("${key}", "shop")], PLOTS[path]
    assert shown["title"]["text"] == about["title"].replace("${key}", "shop")
    titles = set(re.findall(r'"title": "([^"]+)"', json.dumps(shown)))
    assert {about["x_label"], about["y_label"]} <= titles
    assert "<DVC_" not in json.dumps(shown)
    values = shown["data"]["values"]
    assert values
    assert {about["x"], about["y"]} <= set(values[0])


def test_every_plot_of_the_file_is_drawn_and_models_have_colours(drawn: dict[str, dict[str, Any]]) -> None:
    assert set(drawn) == {path.replace("${key}", "shop") for path in PLOTS}
    assert len(drawn) == 5
    assert drawn["artifacts/shop/evaluation/full.csv"]["encoding"]["color"]["field"] == "model"


def test_curves_as_a_picture_are_labelled(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(CURVE)
    picture = draw_curves(path, "a <title>").decode()
    assert picture.startswith("<?xml")
    for label in ("training step", "loss", "validation NDCG@10, full catalog", "a &lt;title&gt;", "all parts"):
        assert f"<!-- {label} -->" in picture or label in picture
    path.write_text(CURVE.replace("image,", "text,", 1))
    assert draw_curves(path, "a <title>") != picture.encode()
