"""Stage ``export``: the projection heads as one ONNX file, compared with torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec import atomic
from illmrec.errors import ModelError
from illmrec.models.onnx_export import export_heads
from illmrec.scoring.head import Head
from illmrec.scoring.parity import compare_head
from illmrec.seeds import generator
from pipelines.assembly.recommender import load_recommender
from pipelines.parameters.training import ExportConfig
from pipelines.project.context import Context
from pipelines.project.shelf import Shelf
from pipelines.stages import Facts, stage


@stage("export")
def run(context: Context) -> Facts:
    """Publish the head of the data set's model; return how it compares with torch."""
    with atomic.write_folder(context.layout.head) as folder:
        return export_head(context.shelf, folder, context.section(ExportConfig))


def export_head(shelf: Shelf, folder: Path, config: ExportConfig) -> dict[str, Any]:
    """Write head.onnx and head.json into ``folder``; return the comparison.

    Raises:
        ModelError: when the comparison fails.
    """
    sequences = shelf.sequences
    model = load_recommender(shelf, shelf.require(shelf.layout.model))
    histories = sequences.histories("test")
    seen = histories.take(choose_users(len(histories), config.compared_users))
    hidden = model.represent_users([seen[user] for user in range(len(seen))], 64)
    expected_users, expected_items = model.project_users(hidden), model.represent_items()
    (folder / "head.onnx").write_bytes(export_heads(model.parts.heads.cpu(), model.backbone.width))
    head = Head(folder / "head.onnx")
    features = {kind: model.features[kind].values for kind in head.kinds}
    parity = compare_head(head, hidden, features, seen, expected_users, expected_items)
    worst = max(parity.max_user_difference, parity.max_item_difference)
    if worst > config.max_difference or parity.same_top10_share < config.min_same_top10_share:
        found = f"largest difference {worst:.2g}, same top ten for {parity.same_top10_share:.2%} of users"
        allowed = f"at most {config.max_difference:.2g}, at least {config.min_same_top10_share:.2%}"
        raise ModelError(f"the ONNX head differs from torch: {found}; allowed: {allowed}.", path=shelf.layout.head)
    about = {
        "tensors_sha256": atomic.digest_file(shelf.layout.model / "tensors.safetensors"),
        "onnx_sha256": atomic.digest_file(folder / "head.onnx"),
        "kinds": list(head.kinds),
        "widths": dict(head.widths),
        "llm_width": head.llm_width,
        "parity": asdict(parity),
    }
    atomic.write_json(folder / "head.json", about)
    return asdict(parity) | {"onnx_bytes": (folder / "head.onnx").stat().st_size}


def choose_users(users: int, wanted: int) -> npt.NDArray[np.int64]:
    """Return the users that torch and ONNX are compared for: all, or a fixed sample of so many, ascending."""
    if users <= wanted:
        return np.arange(users)
    return np.sort(generator(0, "export", "users").choice(users, wanted, replace=False))
