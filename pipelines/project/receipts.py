"""Receipts: what a command did, as JSON."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from illmrec import atomic


def write_receipt(folder: Path, job: str, facts: dict[str, Any]) -> None:
    """Keep what a job did, under its name and the second it ended."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    atomic.write_json(folder / f"{stamp}-{job}.json", facts | {"job": job, "finished": stamp})
