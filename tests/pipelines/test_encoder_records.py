"""What `encoders` records of a language model, and what tells two of them apart."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from illmrec.atomic import digest_folder
from illmrec.errors import MissingArtifactError, ModelError
from pipelines.assembly.encoders import find_encoder, identify_encoder, name_encoder
from pipelines.assembly.loading import load_backbone
from pipelines.parameters.features import EncodersConfig
from pipelines.parameters.training import TrainConfig
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages.encoders import resolve_backbone

ORIGIN = {"package": "lm-tiny", "version": "1.0", "licence": "MIT"}


@pytest.fixture
def shelf(tmp_path: Path, tiny_model_folder: Path) -> Shelf:
    """Return a project into which a language model was fetched."""
    layout = Layout(tmp_path, "shop")
    shutil.copytree(tiny_model_folder, layout.package_model("lm-tiny"))
    (layout.package_model("lm-tiny") / "origin.json").write_text(json.dumps(ORIGIN), encoding="utf-8")
    return Shelf(layout)


def resolve(shelf: Shelf, **backbone: Any) -> dict[str, Any]:
    config = EncodersConfig.model_validate({"backbone": {"source": "package", "name": "lm-tiny"} | backbone})
    return resolve_backbone(shelf, config, shelf.layout.root)


def test_a_fetched_package_is_recorded_with_version_licence_and_digest(shelf: Shelf) -> None:
    record = resolve(shelf)
    assert record == {
        "name": "data/encoders/lm-tiny",
        "package": "lm-tiny==1.0",
        "licence": "MIT",
        "revision": f"sha256:{digest_folder(shelf.layout.package_model('lm-tiny'))}",
        "folder": None,
    }
    assert find_encoder(shelf, record).path == shelf.layout.package_model("lm-tiny")
    assert resolve(shelf, revision="1.0") == record


def test_a_package_that_was_not_fetched_names_the_command(shelf: Shelf) -> None:
    with pytest.raises(MissingArtifactError) as caught:
        resolve(shelf, name="lm-other")
    assert "illmrec fetch language-model --package lm-other" in caught.value.hint


def test_another_version_is_refused(shelf: Shelf) -> None:
    with pytest.raises(ModelError, match=r"is version 1\.0, expected 2\.0"):
        resolve(shelf, revision="2.0")


def test_depth_and_weights_tell_language_models_apart(shelf: Shelf) -> None:
    records = [resolve(shelf), resolve(shelf, layers=2), resolve(shelf, layers=1), resolve(shelf, weights="random")]
    assert len({identify_encoder(record) for record in records}) == 4
    assert identify_encoder(records[0]) == records[0]["revision"]
    assert [name_encoder(record) for record in records] == [
        "lm-tiny==1.0",
        "lm-tiny==1.0, first 2 layers",
        "lm-tiny==1.0, first layer",
        "lm-tiny==1.0, weights drawn anew with seed 0",
    ]


def test_the_recorded_depth_is_what_is_loaded(shelf: Shelf) -> None:
    records = {"backbone": resolve(shelf, layers=2)}
    shelf.layout.encoders.mkdir(parents=True)
    (shelf.layout.encoders / "encoders.json").write_text(json.dumps(records), encoding="utf-8")
    assert load_backbone(shelf, TrainConfig(), "cpu").layers == 2
