"""Job ``recommend``: tonight's recommendations of the champion for every user. The folder's door."""

from __future__ import annotations

import datetime
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.scoring.output import read_manifest
from pipelines.nights.inputs import gather_inputs
from pipelines.nights.judging import audit_night, find_published
from pipelines.nights.making import make_rows
from pipelines.nights.writing import publish_night, read_written, write_night
from pipelines.parameters.operation import RecommendConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt


@dataclass(frozen=True)
class Order:
    """What is asked for.

    Args:
        day: the night; interactions before it (UTC) are known.
        full: read every user again, whatever is kept of earlier nights.
        publish: move the pointer; None: unless a later night is published.
    """

    day: datetime.date
    full: bool = False
    publish: bool | None = None


@locked("recommend")
def recommend(
    context: Context, order: Order, stop: threading.Event | None = None, engine: str | None = None
) -> dict[str, Any]:
    """Write, audit and publish one night; return what was written.

    Args:
        context: the data set.
        order: what is asked for.
        stop: set when the process was asked to end.
        engine: ``local`` or ``ray`` in place of the parameter.

    Raises:
        ModelError: when the night fails its audit; the published one stays.
        InterruptedRunError: when ``stop`` was set before everything was written.
    """
    config = context.section(RecommendConfig)
    inputs = gather_inputs(context, config.model_copy(update={"engine": engine}) if engine else config, order.day)
    folder = inputs.run_folder
    atomic.sweep_partial(folder.parent)
    written = read_written(folder)
    table, counts = written, dict[str, Any]()
    if table is None or order.full:
        table, counts = make_rows(inputs, stop or threading.Event(), full=order.full)
    published = find_published(inputs.layout)
    audit_night(inputs, table, published)
    same = written is not None and written.equals(table)
    if not same:
        folder = write_night(inputs, table, published)
    counts |= publish_night(inputs, folder, order.publish)
    return _conclude(inputs.layout, folder, counts | {"already_written": same})


def _conclude(layout: Layout, folder: Path, counts: dict[str, Any]) -> dict[str, Any]:
    """Write the receipt; return what it says."""
    described = {key: value for key, value in read_manifest(folder).items() if key not in ("files", "copies")}
    summary = described | counts | {"folder": str(folder)}
    write_receipt(layout.receipts, "recommend", summary)
    return summary
