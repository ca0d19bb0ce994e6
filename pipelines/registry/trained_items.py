"""The items a version was trained on, as a file of the version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from illmrec.data.catalog import Catalog
from illmrec.errors import ModelError
from illmrec.features.matrix import FeatureMatrix, MatrixHeader
from pipelines.assembly.recommender import list_feature_types, read_config
from pipelines.project.shelf import Shelf
from pipelines.registry.version import MORE_TAGS
from pipelines.registry.version_files import VersionFiles

TRAINED_ITEMS_FILE = "trained_items.safetensors"
TRAINED_ITEMS_TAG = MORE_TAGS[TRAINED_ITEMS_FILE]
CF = "cf"
IDS, CF_VALUES, CF_PRESENT, FILL = "item_ids", "cf_values", "cf_present", "fill_"


@dataclass(frozen=True)
class TrainedItems:
    """What a version knows of the items it was trained on.

    Args:
        item_ids: in the order of the training's item_index.
        cf: their CF rows; None for a model without them.
        fills: feature type -> ``float16 [width]``: what stood in for an item without picture and text.
    """

    item_ids: list[str]
    cf: FeatureMatrix | None
    fills: Mapping[str, npt.NDArray[np.float16]]

    def find_places(self, catalog: Catalog) -> npt.NDArray[np.int64]:
        """Return ``int64 [n_trained]``: the item_index of each in a catalog, -1 for those that are gone."""
        return catalog.index_items(pl.Series(self.item_ids, dtype=pl.String)).astype(np.int64)


def build_trained_items(shelf: Shelf) -> bytes:
    """Return the content of :data:`TRAINED_ITEMS_FILE` for the model that was just trained.

    Raises:
        ModelError: when the catalog is not the one it was trained on.
    """
    catalog, state = shelf.catalog, shelf.model_state
    if catalog.digest != state["item_digest"]:
        hint = f"Run `illmrec train --dataset {shelf.layout.dataset}`: the catalog has changed."
        raise ModelError("the model was trained on another catalog.", path=shelf.layout.model, hint=hint)
    features = shelf.open_features(*list_feature_types(read_config(state)))
    tensors = {IDS: np.frombuffer("\n".join(catalog.item_ids).encode(), dtype=np.uint8)}
    texts = catalog.describe_items()
    for kind, matrix in features.items():
        if kind == CF:
            tensors[CF_VALUES] = np.ascontiguousarray(matrix.values)
            tensors[CF_PRESENT] = matrix.present.astype(np.uint8)
            continue
        filled = np.flatnonzero(find_filled(matrix, texts))
        if len(filled):
            tensors[FILL + kind] = np.ascontiguousarray(matrix.values[filled[0]])
    content: bytes = save(tensors)
    return content


def read_trained_items(files: VersionFiles, item_digest: str) -> TrainedItems:
    """Read :data:`TRAINED_ITEMS_FILE` of a version.

    Raises:
        ModelError: when the version has none, or it is damaged or of another model than ``item_digest`` says.
    """
    path = files.find(TRAINED_ITEMS_FILE)
    if path is None:
        hint = "Register and promote a version made by this release."
        raise ModelError(f"{files.version.describe()} does not say which items it was trained on.", hint=hint)
    try:
        tensors = load_file(path)
        ids = tensors[IDS].tobytes()
        item_ids = ids.decode().split("\n")
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise ModelError(f"cannot be read: {error}", path=path, hint="Register again.") from None
    if hashlib.sha256(ids).hexdigest() != item_digest:
        raise ModelError("is of another model.", path=path, hint="Register again.")
    cf = None
    if CF_VALUES in tensors:
        values, present = tensors[CF_VALUES], tensors[CF_PRESENT].astype(np.bool_)
        if values.shape[0] != len(item_ids) or present.shape != (len(item_ids),):
            raise ModelError(f"has {values.shape[0]} CF rows for {len(item_ids)} items.", path=path)
        header = describe_cf(values.shape[1], item_digest, int((~present).sum()))
        cf = FeatureMatrix(header, values, present)
    fills = {name.removeprefix(FILL): value for name, value in tensors.items() if name.startswith(FILL)}
    return TrainedItems(item_ids, cf, fills)


def describe_cf(width: int, item_digest: str, missing: int) -> MatrixHeader:
    """Return the header of CF rows that a version brings to a catalog."""
    return MatrixHeader(CF, "sasrec", "registered", width, "global_rms", item_digest, missing, "carried")


def find_filled(matrix: FeatureMatrix, texts: list[str]) -> npt.NDArray[np.bool_]:
    """Return ``bool [n_items]``: rows that hold the mean of a catalog, which changes when the catalog does."""
    policy = matrix.header.missing_policy
    if policy == "zero":
        return np.zeros(len(texts), dtype=np.bool_)
    textless = np.array([not text for text in texts], dtype=np.bool_) if policy == "text_tower" else True
    return np.asarray(~matrix.present & textless)
