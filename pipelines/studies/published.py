"""The paper's own figures, where the data set that was run is one of the paper's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pipelines.layout import Layout

FILE = Path(__file__).with_name("published.yaml")
TOLERANCE = 0.01
"""How far users and items may be from the paper's, as a share, for the data set to be taken for the same."""


def recognise(layout: Layout) -> str | None:
    """Return the paper's name of this data set, by the users and items left after the 5-core; None for another one."""
    path = layout.prepared / "summary.json"
    if not path.is_file():
        return None
    counts = json.loads(path.read_text(encoding="utf-8"))
    for name, size in _read()["datasets"].items():
        if all(abs(counts.get(key, 0) - size[key]) <= TOLERANCE * size[key] for key in ("users", "items")):
            return str(name)
    return None


def look_up(study: str, name: str) -> dict[str, dict[str, float]]:
    """Return label -> metric -> value of one study on one of the paper's data sets; empty where it has none."""
    found = _read()["studies"].get(study)
    if found is None:
        return {}
    metrics = found["metrics"]
    return {
        label: dict(zip(metrics, values[name], strict=True))
        for label, values in found["rows"].items()
        if name in values
    }


def _read() -> Any:
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))
