"""The table of metrics as `illmrec evaluate --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from illmrec.evaluation.table import Measurement, MetricsTable


def read_printed(printed: Mapping[str, Any]) -> MetricsTable:
    """Return the rows that the command printed."""
    return MetricsTable(Measurement(**row) for row in printed["metrics"])
