"""The catalog in the recommendation space, projected once for each model and state of the features."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec import atomic

log = logging.getLogger(__name__)

_VALUES, _ABOUT = "values.npy", "about.json"


def digest_features(features: Mapping[str, npt.NDArray[np.generic]], block: int = 65_536) -> str:
    """Return a sha256 over the names, shapes and bytes of matrices, read block by block."""
    total = hashlib.sha256()
    for name in sorted(features):
        matrix = features[name]
        total.update(f"{name} {matrix.dtype.str} {matrix.shape}\n".encode())
        for start in range(0, len(matrix), block):
            total.update(np.ascontiguousarray(matrix[start : start + block]).tobytes())
    return total.hexdigest()


def keep_items(
    folder: Path, key: str, project: Callable[[], npt.NDArray[np.float32]], *, keep: int
) -> tuple[npt.NDArray[np.float32], bool]:
    """Return ``float32 [n_items, F * d]`` and whether it was kept from before.

    Args:
        folder: where projected catalogs lie.
        key: digest of the head and of what it projects.
        project: computes them; called when nothing intact is kept.
        keep: projected catalogs to keep, this one included, the newest first.
    """
    path = folder / f"items-{key[:32]}"
    kept = _read(path)
    if kept is not None:
        (path / _ABOUT).touch()
        return kept, True
    values = project()
    atomic.sweep_partial(folder, path.name)
    with atomic.write_folder(path) as partial:
        np.save(partial / _VALUES, values, allow_pickle=False)
        atomic.write_json(partial / _ABOUT, {"key": key, "sha256": atomic.digest_file(partial / _VALUES)})
    others = [one for one in folder.glob("items-*") if one != path and (one / _ABOUT).is_file()]
    others.sort(key=lambda one: (one / _ABOUT).stat().st_mtime_ns, reverse=True)
    for outdated in others[max(keep - 1, 0) :]:
        shutil.rmtree(outdated, ignore_errors=True)
    return values, False


def read_items(folder: Path, key: str) -> npt.NDArray[np.float32] | None:
    """Return what :func:`keep_items` keeps under a key; None where nothing intact is kept."""
    return _read(folder / f"items-{key[:32]}")


def _read(path: Path) -> npt.NDArray[np.float32] | None:
    if not path.is_dir():
        return None
    try:
        about: dict[str, Any] = json.loads((path / _ABOUT).read_text(encoding="utf-8"))
        if atomic.digest_file(path / _VALUES) != about["sha256"]:
            raise ValueError("the digest differs")
        values: npt.NDArray[np.float32] = np.load(path / _VALUES, allow_pickle=False)
    except (OSError, ValueError, KeyError, EOFError) as error:
        log.warning("%s: the projected catalog is damaged (%s); it is projected anew.", path, error)
        return None
    return values
