"""Let a CPU build of torch live beside the ordinary torchvision wheel.

The ordinary torchvision is compiled against CUDA; under a CPU torch its extension cannot be loaded, and importing it
fails with "operator torchvision::nms does not exist". transformers, timm and open_clip import torchvision, though
none of them needs its compiled operators for what this project does. Declaring the two missing schemas is enough.
``torchvision.ops.nms`` and ``torchvision.io`` stay unavailable; pictures are decoded with Pillow.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_keep_alive: list[object] = []


class _DeclareOperators(importlib.abc.MetaPathFinder):
    """Import hook that acts once, just before torchvision is imported, and costs no torch import before that."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name == "torchvision":
            sys.meta_path.remove(self)
            _declare_missing_operators()
        return None


def _declare_missing_operators() -> None:
    import torch

    if torch.version.cuda or torch.version.hip:
        return
    spec = importlib.machinery.PathFinder.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        try:
            torch.ops.load_library(f"{folder}/_C.so")
        except OSError:
            library = torch.library.Library("torchvision", "FRAGMENT")
            for schema in _SCHEMAS:
                library.define(schema)
            _keep_alive.append(library)


def install() -> None:
    """Register the hook unless torchvision is already imported or the hook already stands."""
    if "torchvision" not in sys.modules and not any(isinstance(f, _DeclareOperators) for f in sys.meta_path):
        sys.meta_path.insert(0, _DeclareOperators())
