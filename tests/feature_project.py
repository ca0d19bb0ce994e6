"""A project whose pictures and texts are vectors made up here, for tests of the gate behind the encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from illmrec import columns
from illmrec.data.catalog import Catalog
from illmrec.features.matrix import MatrixHeader, normalise, write_matrix
from pipelines.parameters.reading import STAGES

ITEMS, WIDTH = 200, 16
REVISION = "sha256:0"
Floats = npt.NDArray[np.float32]


class FakeTower:
    """Reads a text as the vector whose number stands at its end."""

    width = WIDTH

    def __init__(self, vectors: Floats) -> None:
        self.vectors, self.read = vectors, 0

    def encode_texts(self, texts: list[str]) -> Floats:
        self.read += len(texts)
        return self.vectors[[int(text.split()[-1]) for text in texts]]


def draw_vectors(seed: int = 0) -> Floats:
    """Return ``float32 [ITEMS, WIDTH]`` that have nothing to do with each other."""
    return np.random.default_rng(seed).standard_normal((ITEMS, WIDTH)).astype(np.float32)


def write_project(root: Path, pictures: Floats, texts: Floats, *, source: str = "open_clip", **options: Any) -> Path:
    """Write items, both matrices and the record of an encoder of the kind ``source``."""
    folder = root / "artifacts" / "shop"
    (folder / "prepared").mkdir(parents=True)
    items = pl.DataFrame(
        {
            "item_id": [f"i{number:03}" for number in range(ITEMS)],
            "title": "shirt",
            "brand": "",
            "category": [["Clothing"]] * ITEMS,
            "description": [f"This is shirt number {number}" for number in range(ITEMS)],
            "image_ref": "",
            "image_status": "ok",
        },
        schema=columns.ITEMS,
    )
    items.write_parquet(folder / "prepared" / "items.parquet")
    present = options.pop("present", np.ones(ITEMS, dtype=np.bool_))
    for kind, values in (("image", pictures), ("text", texts)):
        header = MatrixHeader(
            kind, "fake", REVISION, WIDTH, "rms", Catalog(items).digest, int((~present).sum()), "mean"
        )
        write_matrix(folder / "features" / kind, header, normalise(values, "rms"), present)
    (folder / "encoders").mkdir()
    record = {"image": {"source": source, "name": "fake", "revision": REVISION, "folder": None}}
    (folder / "encoders" / "encoders.json").write_text(json.dumps(record))
    sections: dict[str, Any] = {stage: {} for stage in STAGES}
    own = {"prepare": {"format": "own", "folder": "data/own"}, "validate_features": options}
    (root / "params.yaml").write_text(json.dumps({"datasets": {"shop": sections | own}}))
    return root


def use_tower(monkeypatch: pytest.MonkeyPatch, texts: Floats) -> FakeTower:
    """Put a tower that knows ``texts`` in the place of the picture encoder."""
    tower = FakeTower(texts)
    monkeypatch.setattr("pipelines.assembly.loading.load_image_encoder", lambda layout: (tower, {}))
    return tower


def read_gate(root: Path) -> dict[str, Any]:
    """Return what the feature gate wrote."""
    path = root / "artifacts" / "shop" / "feature_quality" / "gate.json"
    gate: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return gate


def list_failed(gate: dict[str, Any]) -> dict[str, str]:
    """Return each failed check as suite.name, with its severity."""
    return {f"{check['suite']}.{check['name']}": check["severity"] for check in gate["checks"] if not check["passed"]}
