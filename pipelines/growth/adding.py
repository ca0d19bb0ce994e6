"""Job ``catalog``: new items into the catalog, without a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from illmrec.columns import ITEM_ID
from illmrec.data.readers.added import read_batches
from illmrec.errors import DataError, ModelError, NothingToDoError
from illmrec.scoring.head import Head
from pipelines.growth.grown_catalog import open_grown_catalog
from pipelines.growth.new_items import judge_new_items, read_new_items, write_batch
from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.project.context import Context
from pipelines.project.lock import locked
from pipelines.project.receipts import write_receipt
from pipelines.project.shelf import Shelf
from pipelines.registry.registry import Registry
from pipelines.registry.trained_items import CF, read_trained_items
from pipelines.registry.version_files import VersionFiles


@locked("catalog")
def add_items(context: Context, source: Path) -> dict[str, Any]:
    """Judge, publish and encode new items; return what was added.

    Raises:
        DataError: when the data set is of a publisher's layout, or the batch is refused.
        NothingToDoError: when the catalog has all of them.
        MissingArtifactError: when a stage has not run.
    """
    layout, config = context.layout, context.section(PrepareConfig)
    if config.format != "own":
        hint = "Turn it into a catalog of your own (docs/your-catalog.md), or add to the publisher's files."
        raise DataError(f"data set {layout.dataset} is of format {config.format!r}, expected 'own'.", hint=hint)
    raw = layout.root / config.folder
    context.shelf.require(layout.encoders / "encoders.json")
    new = read_new_items(source)
    judged = judge_new_items(new, find_known(context.shelf, raw), config, context.section(ValidateConfig))
    batch = write_batch(raw, judged) if judged.items.height else None
    grown = open_grown_catalog(context)  # also where a killed run stopped after publishing
    if batch is None:
        raise NothingToDoError(f"all {judged.counts['known']} items are in the catalog already.")
    summary = {**judged.counts, "batch": batch, **project_new_items(context, grown)}
    write_receipt(layout.receipts, "catalog-add", summary | {"source": str(source)})
    return summary


def find_known(shelf: Shelf, raw: Path) -> set[str]:
    """Return the ids of the prepared catalog and of all batches."""
    return {*shelf.catalog.item_ids, *read_batches(raw)[0][ITEM_ID]}


def project_new_items(context: Context, grown: Shelf) -> dict[str, Any]:
    """Put the items that the champion does not know through its head, to see that tonight can.

    Returns:
        How many there are, and how far the champion could project them.

    Raises:
        ModelError: when a projected number is not finite.
    """
    registry = Registry(context)
    champion = registry.find_champion()
    if champion is None:
        return {"champion": None, "unknown_to_champion": None}
    unknown = _project(grown, registry.fetch(champion))
    return {"champion": champion.number, "unknown_to_champion": unknown}


def _project(grown: Shelf, files: VersionFiles) -> int:
    head = Head(files.folder / "head.onnx", files.version.tags["onnx_sha256"])
    trained = set(read_trained_items(files, files.version.tags["item_digest"]).item_ids)
    new = np.array([place for place, item in enumerate(grown.catalog.item_ids) if item not in trained], dtype=np.int64)
    if not len(new):
        return 0
    matrices = grown.open_features(*(kind for kind in head.kinds if kind != CF))
    features = {kind: matrix.values[new] for kind, matrix in matrices.items()}
    if CF in head.kinds:
        features[CF] = np.zeros((len(new), head.widths[CF]), dtype=np.float16)
    if not np.isfinite(head.project_items(features)).all():
        hint = "Look at the features: `illmrec validate-features`."
        raise ModelError("a projected new item is not a finite number.", hint=hint)
    return len(new)
