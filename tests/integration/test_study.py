"""``illmrec study``: cases differ by what they say, are kept, and leave the data set alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from illmrec.errors import ParameterError
from pipelines.studies import missing_images, training_variants
from pipelines.studies.cases import Case
from tests.integration.conftest import expect_error, invoke, run_ok

Project = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture
def root(project: Project, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project[0], tmp_path / "project", symlinks=True))


def run_study(root: Path, name: str, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_ok(root, "study", name, "--set", "epochs=1", *options)["rows"]
    return rows


def read_present(root: Path, case: str) -> np.ndarray:
    return np.load(root / f"work/studies/shop/missing-images/{case}/artifacts/shop/features/image/present.npy")


def test_missing_pictures_are_hidden_as_the_case_says(root: Path) -> None:
    before = {path: path.read_bytes() for path in (root / "artifacts").rglob("*.npy")}
    rows = run_study(root, "missing-images", "--only", "(zero|description)-(000|050|100)")
    assert [row["case"] for row in rows] == [
        f"{policy}-{share}" for share in ("000", "050", "100") for policy in ("description", "zero")
    ]
    none, half, all_of_them = (read_present(root, f"zero-{share}") for share in ("000", "050", "100"))
    assert not all_of_them.any()
    assert not (half & ~none).any(), "a larger share holds a smaller one"
    assert 0.3 < half.sum() / none.sum() < 0.7
    items = root / "work/studies/shop/missing-images"
    zero = np.load(items / "zero-050/artifacts/shop/features/image/values.npy")
    told = np.load(items / "description-050/artifacts/shop/features/image/values.npy")
    assert not zero[~half].any()
    assert np.abs(told[~half]).sum(1).all()
    assert np.array_equal(zero[half], told[half])
    by_case = {row["case"]: row for row in rows}
    assert by_case["zero-050"]["missing_images"] == int((~half).sum())
    assert by_case["description-050"]["tokens_per_item"] > by_case["zero-050"]["tokens_per_item"]
    assert {path: path.read_bytes() for path in (root / "artifacts").rglob("*.npy")} == before


def test_cases_are_kept_until_something_they_depend_on_changes(root: Path) -> None:
    only = ("--only", "as-set")
    first = run_study(root, "training-variants", *only)
    again = run_study(root, "training-variants", *only)
    assert again == first, "seconds included: nothing was computed again"
    other = run_ok(root, "study", "training-variants", "--set", "epochs=2", *only)["rows"]
    assert other[0]["seconds"] != first[0]["seconds"]
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["train"]["seed"] = 3
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    assert run_study(root, "training-variants", *only)[0]["ndcg@10"] != first[0]["ndcg@10"]


def test_pictures_that_changed_are_looked_at_again(root: Path) -> None:
    only = ("--only", "mean-050")
    first = run_study(root, "missing-images", *only)
    features = root / "artifacts/shop/features/image/values.npy"
    values = np.load(features)
    values[0] += 1
    np.save(features, values)
    assert run_study(root, "missing-images", *only)[0]["seconds"] != first[0]["seconds"]


def test_a_case_as_set_is_what_the_commands_make(root: Path) -> None:
    metrics = json.loads((root / "artifacts/shop/evaluation/metrics.json").read_text())
    row = run_ok(root, "study", "training-variants", "--only", "as-set")["rows"][0]
    for name in ("hit@10", "ndcg@10", "mrr"):
        assert row[name] == pytest.approx(metrics[f"illmrec/full/{name}"], abs=1e-9)
        assert row[f"{name}.low"] <= row[name] <= row[f"{name}.high"]


def test_results_are_a_table_and_files(root: Path) -> None:
    result = invoke(root, "study", "training-variants", "--only", "catalog$", "--set", "epochs=1", "--dataset", "shop")
    assert result.exit_code == 0, result.output
    assert "catalog" in result.stdout
    assert "ndcg@10" in result.stdout
    table = pl.read_csv(root / "work/studies/shop/training-variants/results.csv")
    assert table["variant"].to_list() == ["catalog"]
    assert table["ndcg@10.low"][0] <= table["ndcg@10"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "nothing"), "no case"),
        (("--set", "epochs"), "KEY=VALUE"),
        (("--set", "epoch=2"), "epoch"),
        (("--set", "epochs=no"), "epochs"),
        (("--only", "["), "regular expression"),
    ],
)
def test_wrong_options_are_named(root: Path, options: tuple[str, str], message: str) -> None:
    error = expect_error(root, "study", "training-variants", *options)
    assert isinstance(error, ParameterError)
    assert message in str(error)


@pytest.mark.parametrize("module", [missing_images, training_variants])
def test_cases_have_names_of_their_own_and_known_keys(module: Any) -> None:
    from illmrec.config import EmbedImagesConfig, TrainConfig

    cases: list[Case] = module.list_cases()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        TrainConfig.model_validate(dict(case.train))
        EmbedImagesConfig.model_validate(dict(case.embed_images))
