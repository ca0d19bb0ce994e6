"""A registered version on this machine: downloaded once, checked against its tags every time."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from illmrec import atomic
from illmrec.errors import ModelError
from pipelines.layout import Layout

if TYPE_CHECKING:
    from pipelines.tracking import Released, Tracker

DIGEST_TAGS = {
    "head.onnx": "onnx_sha256",
    "tensors.safetensors": "tensors_sha256",
    "state.json": "state_sha256",
}
"""File of a version -> tag with its sha256."""

_STORED_NAMES = {"head.onnx": "model.onnx"}


@dataclass(frozen=True)
class Release:
    """Files of one version, checked."""

    released: Released
    folder: Path
    """Holds head.onnx, tensors.safetensors, state.json."""


def fetch_release(layout: Layout, tracker: Tracker, released: Released) -> Release:
    """Download a version unless it is here, and compare every file with the digests in its tags.

    Nothing of the version is executed: the graph goes to ONNX Runtime, the tensors through safetensors.

    Raises:
        ModelError: when a file is missing or differs from its tag.
    """
    identity = hashlib.sha256("".join(released.tags.get(tag, "") for tag in DIGEST_TAGS.values()).encode()).hexdigest()
    folder = layout.root / "work" / "releases" / released.name / identity[:16]
    if not folder.is_dir():
        with atomic.write_folder(folder) as partial:
            downloaded = tracker.download(released, partial / "download")
            for name in DIGEST_TAGS:
                stored = _STORED_NAMES.get(name, f"extra_files/{name}")
                if not (downloaded / stored).is_file():
                    raise ModelError(f"version {released.version} of {released.name} has no file {stored}.")
                shutil.copyfile(downloaded / stored, partial / name)
            shutil.rmtree(partial / "download")
    for name, tag in DIGEST_TAGS.items():
        found = atomic.digest_file(folder / name)
        if found != released.tags.get(tag):
            shutil.rmtree(folder)
            hint = "The copy is removed. If it happens again, the registry's files were changed: register again."
            expected = released.tags.get(tag)
            raise ModelError(f"sha256 is {found}, the tag {tag} says {expected}.", path=folder / name, hint=hint)
    return Release(released, folder)
