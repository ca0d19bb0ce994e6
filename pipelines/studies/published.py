"""The paper's own figures, where the data set that was run is one of the paper's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from pipelines.project.layout import Layout

FILE = Path(__file__).with_name("published.yaml")
TOLERANCE = 0.01
"""How far sizes may be from the paper's, as a share, for the data set to be taken for the same."""
CANDIDATES = 100
"""Sampled candidates of the paper."""


def recognise(layout: Layout) -> str | None:
    """Return the paper's name of this data set; None for another one, or one that is split in another way.

    It is known by the users, items and interactions left after the 5-core.
    """
    counts, split = (_read_counts(folder / "summary.json") for folder in (layout.prepared, layout.split))
    if split.get("method") != "leave_one_out" or split.get("negatives_per_user") != CANDIDATES:
        return None
    for name, sizes in _read()["datasets"].items():
        if all(abs(counts.get(key, 0) - size) <= TOLERANCE * size for key, size in sizes.items()):
            return str(name)
    return None


def _read_counts(path: Path) -> dict[str, Any]:
    counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return counts


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
