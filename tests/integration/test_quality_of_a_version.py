"""What the gates found travels with the registered version, and later data are compared with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from illmrec.atomic import digest_file
from tests.integration.conftest import expect_error, run_ok
from tests.own_project import copy_with_outputs

Project = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a copy for this module: some of its tests damage it for a moment, and commands write their logs."""
    return copy_with_outputs(project, tmp_path_factory.mktemp("quality") / "project")


def test_the_gates_and_the_profile_are_tags(project: Project) -> None:
    root, _ = project
    (receipt,) = (root / "work/receipts/shop").glob("*-register.json")
    tags = json.loads(receipt.read_text(encoding="utf-8"))["tags"]
    features = json.loads((root / "artifacts/shop/feature_quality/gate.json").read_text(encoding="utf-8"))
    assert (tags["quality_gate"], tags["feature_gate"]) == ("passed", "passed")
    assert tags["feature_gate_warnings"] == str(features["warnings"])
    assert tags["feature_gate_not_checked"] == "0"
    assert tags["profile_sha256"] == digest_file(root / "artifacts/shop/quality/profile.json")


def test_the_feature_gate_compared_every_item_that_has_a_picture_and_a_text(project: Project) -> None:
    _, printed = project
    facts = printed["validate-features"]
    assert facts["not_checked"] == "nothing"
    images = printed["embed-images"]
    assert 0 < facts["pairs"] <= images["items"] - images["items_without_picture"]
    assert 0.0 <= facts["auc"] <= 1.0


def test_the_champions_own_data_have_not_drifted(project: Project) -> None:
    root, _ = project
    facts = run_ok(root, "drift")
    assert facts["against"] == "illmrec-shop version 1"
    assert {field["value"] for field in facts["drift"]} == {0.0}


def test_other_data_have_drifted_from_the_champions(project: Project, tmp_path: Path) -> None:
    root, _ = project
    prepared = root / "artifacts/shop/prepared"
    quality = root / "artifacts/shop/quality"
    shutil.copytree(prepared, tmp_path / "prepared")
    shutil.copytree(quality, tmp_path / "quality")
    try:
        items = pl.read_parquet(prepared / "items.parquet")
        items.with_columns(category=pl.lit(["Elsewhere"])).write_parquet(prepared / "items.parquet")
        run_ok(root, "validate")
        error = expect_error(root, "drift")
    finally:
        for folder in (prepared, quality):
            shutil.rmtree(folder)
            shutil.copytree(tmp_path / folder.name, folder)
    assert error.exit_code == 3
    assert "category: critical" in str(error)
    assert "illmrec-shop version 1" in str(error)


def test_a_profile_changed_in_the_registry_is_noticed(project: Project) -> None:
    root, _ = project
    (stored,) = (root / "mlartifacts").rglob("extra_files/profile.json")
    before = stored.read_bytes()
    try:
        stored.write_bytes(before.replace(b'"form": 1', b'"form": 1 '))
        error = expect_error(root, "drift")
    finally:
        stored.write_bytes(before)
    assert error.exit_code == 4
    assert "profile_sha256" in str(error)


@pytest.mark.parametrize(("folder", "command"), [("quality", "validate"), ("feature_quality", "validate-features")])
def test_what_a_gate_refused_is_not_registered(project: Project, folder: str, command: str) -> None:
    root, _ = project
    path = root / "artifacts/shop" / folder / "gate.json"
    before = path.read_bytes()
    try:
        path.write_bytes(before.replace(b'"passed": true,\n  "rows"', b'"passed": false,\n  "rows"'))
        assert path.read_bytes() != before
        error = expect_error(root, "register")
    finally:
        path.write_bytes(before)
    assert error.exit_code == 4
    assert f"illmrec {command}" in error.hint
