"""Files of a registered version on this machine: downloaded once, checked against its tags every time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from illmrec import atomic
from illmrec.errors import ModelError
from illmrec.scoring.head import refuse_outside_data
from pipelines.registry.version import DIGEST_TAGS, MORE_TAGS, Version

if TYPE_CHECKING:  # a process that only reads files needs no MLflow
    from pipelines.registry.tracking import Tracker

_STORED_NAMES = {"head.onnx": "model.onnx"}

OWN_FILES = ("MLmodel", "model.onnx", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta")
OWN_PREFIXES = ("extra_files/", "input_example", "serving_input_example")
OWN_SUFFIXES = (".json", ".md", ".onnx", ".parquet", ".safetensors", ".txt", ".yaml")
"""What MLflow and ``register`` write. Nothing else belongs to a version; a pickle or a script least of all."""

LOADER = "mlflow.onnx"
MAX_MODEL_FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class VersionFiles:
    """Files of one version, checked."""

    version: Version
    folder: Path
    """Holds those of :data:`DIGEST_TAGS`, and those of :data:`MORE_TAGS` that the version has."""

    def find(self, name: str) -> Path | None:
        """Return a file of :data:`MORE_TAGS`, or None where the version lacks it."""
        path = self.folder / name
        return path if path.is_file() else None


def fetch_version(tracker: Tracker, version: Version, fetched: Path) -> VersionFiles:
    """Download a version unless it is here, and compare every file with the digests in its tags.

    Nothing of the version is executed: the graph goes to ONNX Runtime, the tensors through safetensors. A version that
    holds anything else, or that names other code to load it with, is refused when it is downloaded.

    Args:
        tracker: of the store it comes from.
        version: the version.
        fetched: folder of all versions that are here.

    Raises:
        ModelError: when a file is missing, does not belong there or differs from its tag.
    """
    tags = DIGEST_TAGS | {name: tag for name, tag in MORE_TAGS.items() if tag in version.tags}
    identity = hashlib.sha256("".join(version.tags.get(tag, "") for tag in tags.values()).encode()).hexdigest()
    folder = fetched / version.name / identity[:16]
    if not folder.is_dir():
        with atomic.write_folder(folder) as partial:
            downloaded = tracker.download(version, partial / "download")
            refuse_foreign_files(downloaded, version)
            for name in tags:
                stored = _STORED_NAMES.get(name, f"extra_files/{name}")
                if not (downloaded / stored).is_file():
                    raise ModelError(f"{version.describe()} has no file {stored}.")
                shutil.copyfile(downloaded / stored, partial / name)
            refuse_outside_data((partial / "head.onnx").read_bytes(), partial / "head.onnx")
            shutil.rmtree(partial / "download")
    for name, tag in tags.items():
        sha256, expected = atomic.digest_file(folder / name), version.tags.get(tag)
        if sha256 != expected:
            shutil.rmtree(folder)
            hint = "The copy is removed. If it happens again, the registry's files were changed: register again."
            raise ModelError(f"sha256 is {sha256}, the tag {tag} says {expected}.", path=folder / name, hint=hint)
    return VersionFiles(version, folder)


def refuse_foreign_files(folder: Path, version: Version) -> None:
    """Refuse a downloaded version with files that no version has, or with other code to load it.

    Raises:
        ModelError: naming what was found.
    """
    named = version.describe()
    hint = (
        "Nothing of it was loaded. Find out who wrote to the registry, go back with `illmrec rollback`, register again."
    )
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ModelError(f"{named} holds a link, {name!r}.", hint=hint)
        if path.is_dir() or name in OWN_FILES:
            continue
        if not name.startswith(OWN_PREFIXES) or not name.endswith(OWN_SUFFIXES):
            raise ModelError(f"{named} holds a file that does not belong there, {name!r}.", hint=hint)
    flavors = _read_flavors(folder / "MLmodel", named)
    loader = flavors.get("python_function", {}).get("loader_module")
    if loader != LOADER:
        raise ModelError(f"{named} asks to be loaded by {loader!r}, expected {LOADER!r}.", hint=hint)
    code = [name for name, flavor in flavors.items() if isinstance(flavor, dict) and flavor.get("code")]
    if code:
        raise ModelError(f"{named} brings code of its own (flavor {code[0]}).", hint=hint)


def _read_flavors(path: Path, named: str) -> dict[str, Any]:
    hint = "Register again."
    if not path.is_file() or path.stat().st_size > MAX_MODEL_FILE_BYTES:
        raise ModelError(f"{named} has no MLmodel file, or a huge one.", hint=hint)
    try:
        flavors = yaml.safe_load(path.read_text(encoding="utf-8"))["flavors"]
        if not isinstance(flavors["python_function"], Mapping):
            raise TypeError("python_function is no mapping")
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"the MLmodel file of {named} cannot be read: {error}", hint=hint) from None
    return dict(flavors)
