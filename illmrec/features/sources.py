"""Where a pretrained model's files are: a hub snapshot, a Python package, a local folder or file.

Everything later stages load is local by then; only :func:`locate_model` may ask the hub, and only when allowed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from illmrec.atomic import digest_file, digest_folder
from illmrec.errors import ModelError

_PACKAGE = "package:"
_HUB = "hf-hub:"


@dataclass(frozen=True)
class ModelSource:
    """A located model."""

    name: str
    """As written in the parameters."""
    revision: str
    """Pinned hub commit, package version or sha256 of the weights."""
    path: Path
    """Local file or folder."""


def locate_model(name: str, revision: str | None, *, root: Path, allow_network: bool = False) -> ModelSource:
    """Find a model by name.

    Args:
        name: ``package:NAME`` (a Python package with a function ``get_model_path``), an existing local path, or a hub
            name, with or without ``hf-hub:``.
        revision: hub commit; required for hub names, so that a run can be repeated.
        root: folder that relative local paths start from.
        allow_network: whether a missing snapshot may be downloaded.

    Raises:
        ModelError: when it is not there and may not be fetched.
    """
    if name.startswith(_PACKAGE):
        return _locate_package(name)
    path = root / name.removeprefix("local-dir:")
    if path.exists():
        digest = digest_file(path) if path.is_file() else digest_folder(path)
        return ModelSource(name, f"sha256:{digest}", path.absolute())
    return _locate_snapshot(name, revision, allow_network=allow_network)


def _locate_package(name: str) -> ModelSource:
    package = name.removeprefix(_PACKAGE)
    try:
        module = importlib.import_module(package)
        version = importlib.metadata.version(package.replace("_", "-"))
    except (ImportError, importlib.metadata.PackageNotFoundError):
        hint = f"Install it: pip install {package.replace('_', '-')}"
        raise ModelError(f"the package {package!r} is not installed.", hint=hint) from None
    return ModelSource(name, f"version:{version}", Path(str(module.get_model_path())))


def _locate_snapshot(name: str, revision: str | None, *, allow_network: bool) -> ModelSource:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository = name.removeprefix(_HUB)
    if revision is None:
        hint = f"Add `revision:` with the commit hash shown on the model's page of {repository}."
        raise ModelError(f"the model {name!r} has no pinned revision and is no local path.", hint=hint)
    try:
        folder = huggingface_hub.snapshot_download(repository, revision=revision, local_files_only=not allow_network)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        hint = "Set encoders.allow_network to true (and HF_HUB_OFFLINE=0) to download it, or name a local folder."
        raise ModelError(f"the model {name!r} at {revision!r} is not here: {error}", hint=hint) from None
    return ModelSource(name, f"commit:{revision}", Path(folder))
