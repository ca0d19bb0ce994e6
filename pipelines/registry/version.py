"""What the registry says of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DIGEST_TAGS = {
    "head.onnx": "onnx_sha256",
    "tensors.safetensors": "tensors_sha256",
    "state.json": "state_sha256",
}
"""File of a version -> tag with its sha256."""

MORE_TAGS = {
    "trained_items.safetensors": "trained_items_sha256",
    "ranks.parquet": "ranks_sha256",
    "profile.json": "profile_sha256",
}
"""The same of files that versions registered by an older release lack."""


@dataclass(frozen=True)
class Version:
    """A registered version, without its files.

    Args:
        name: the registered model's.
        number: of the version, as the registry writes it.
        run_id: the training run that made it.
        tags: what was said of it when it was registered.
        aliases: that point to it; filled where all versions are listed.
        description: of its page.
        created: seconds since 1970.
    """

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
    description: str = ""
    created: float = 0.0

    def describe(self) -> str:
        """Return what messages call it."""
        return f"version {self.number} of {self.name}"
