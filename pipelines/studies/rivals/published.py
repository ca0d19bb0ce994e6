"""Published figures of rivals, where the data set that was run is one they were published on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("published.yaml")


def look_up_rivals(users: int, items: int, interactions: int) -> dict[str, Any] | None:
    """Return ``name``, ``source`` and ``rivals`` (name -> metric -> value) of the data set of this size, or None."""
    for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        if (entry["users"], entry["items"], entry["interactions"]) == (users, items, interactions):
            rows = {name: dict(zip(entry["metrics"], values, strict=True)) for name, values in entry["rivals"].items()}
            return {"name": entry["name"], "source": entry["source"], "rivals": rows}
    return None
