"""A trained model on a catalog it was not trained on: items came, items went, nothing was trained again.

A version carries the ids of its items, their CF rows and what stood in for missing texts and pictures
(``trained_items.safetensors``). On another catalog

- an item of the training keeps its CF row, by id, and its picture and text features, which the same encoders make of
  the same content: its score stays what it was, bit for bit;
- a new item has picture and text features and no CF row. Its part of the CF score is zero, not the part of a random or
  a mean row: its score is what picture and text say, and no more.

An item that was in the training catalog without a training interaction is no new one: the model learned with the mean
row in its place, and keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec.data.catalog import Catalog
from illmrec.errors import ModelError
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.recommender import Recommender
from illmrec.scoring.head import Head
from illmrec.training.checkpoint import read_tensors
from pipelines.assembly.encoders import identify_encoder
from pipelines.assembly.recommender import build_recommender, list_feature_types, read_config
from pipelines.project.shelf import Shelf
from pipelines.registry.trained_items import CF, TrainedItems, describe_cf, find_filled, read_trained_items
from pipelines.registry.version_files import VersionFiles

ENCODER_ROLES = {"backbone": "backbone", "image_encoder": "image", "text_encoder": "text"}
"""What a model's state calls an encoder -> its role in encoders.json."""


@dataclass(frozen=True)
class CarriedModel:
    """A model put on a catalog.

    Args:
        recommender: the model with that catalog's features.
        trained: ``int64 [n_trained]``: item_index of each item of the training that is still there.
        new: ``int64 [n_new]``: item_index of the items without a CF row.
    """

    recommender: Recommender
    trained: npt.NDArray[np.int64]
    new: npt.NDArray[np.int64]

    def project_items(self, head: Head) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, F * d]``: all items, the CF slice of new ones zero.

        Items of the training are projected in their old order and apart from new ones: in the last bits, a product
        depends on what else stands in the matrix.
        """
        features = self.recommender.features
        projected = np.zeros((self.recommender.n_items, head.width), dtype=np.float32)
        for rows in (self.trained, self.new):
            if len(rows):
                projected[rows] = head.project_items({kind: features[kind].values[rows] for kind in head.kinds})
        return self.mask_items(projected, head.kinds)

    def represent_items(self) -> npt.NDArray[np.float32]:
        """Return the same by torch."""
        return self.mask_items(self.recommender.represent_items(), self.recommender.parts.heads.kinds)

    def mask_items(self, projected: npt.NDArray[np.float32], kinds: tuple[str, ...]) -> npt.NDArray[np.float32]:
        """Set the CF slice of new items to zero, in place, and return the array."""
        if CF in kinds:
            width, place = projected.shape[1] // len(kinds), kinds.index(CF)
            projected[self.new, place * width : (place + 1) * width] = 0.0
        return projected


def load_recommender_on_catalog(shelf: Shelf, files: VersionFiles) -> CarriedModel:
    """Put a registered version together on today's catalog, grown or shrunk or the same.

    Args:
        shelf: of today's catalog with its picture and text features (the grown one, where items were added).
        files: the version's files.

    Raises:
        ModelError: when the version is too old to be carried, its encoders are not today's, its items are written as
            summaries, or a feature matrix is missing or of another catalog.
    """
    saved, catalog = read_tensors(files.folder), shelf.catalog
    config = read_config(saved.state)
    refuse_other_encoders(shelf, saved.state, files)
    known = read_trained_items(files, saved.state["item_digest"])
    kinds = list_feature_types(config)
    features = shelf.open_features(*(kind for kind in kinds if kind != CF))
    places = known.find_places(catalog)
    features = {kind: _refill(matrix, catalog, known) for kind, matrix in features.items()}
    if CF in kinds:
        features[CF] = carry_cf(known, places, catalog, files)
    if config.representation == "summary" and len(known.item_ids) != len(catalog):
        hint = f"Run `illmrec retrain --dataset {shelf.layout.dataset}`."
        raise ModelError("a model that reads summaries serves only the catalog it was trained on.", hint=hint)
    recommender = build_recommender(shelf, catalog, config, features=features)
    recommender.load_state(saved.tensors)
    trained = places[places >= 0]
    new = np.setdiff1d(np.arange(len(catalog)), trained)
    return CarriedModel(recommender, trained, new)


def refuse_other_encoders(shelf: Shelf, state: Mapping[str, Any], files: VersionFiles) -> None:
    """Compare the encoders a model was trained with to those that are here.

    Raises:
        ModelError: when one is another: its features mean something else.
    """
    for name, role in ENCODER_ROLES.items():
        if name not in state:
            continue
        here, needed = identify_encoder(shelf.read_encoder(role)), identify_encoder(state[name])
        if here != needed:
            hint = (
                f"Bring the encoders of that version back, or run `illmrec retrain --dataset {shelf.layout.dataset}`."
            )
            raise ModelError(
                f"{files.version.describe()} was trained with the {role} encoder {needed}, here is {here}.", hint=hint
            )


def carry_cf(
    known: TrainedItems, places: npt.NDArray[np.int64], catalog: Catalog, files: VersionFiles
) -> FeatureMatrix:
    """Return the CF matrix of another catalog: the known rows in their new places, their mean for new items.

    In retrieval a new item has no CF part; a slot that holds CF embeddings is made of the mean, as it was in training
    for items without an interaction.

    Args:
        known: items of the training.
        places: ``int64 [n_trained]``: their item_index in ``catalog``, -1 for those that are gone.
        catalog: today's items.
        files: for the message.

    Raises:
        ModelError: when the version carries no CF rows.
    """
    if known.cf is None:
        raise ModelError(f"{files.version.describe()} carries no CF rows.", hint="Register again.")
    there = places >= 0
    values = np.tile(known.cf.mean().astype(np.float16), (len(catalog), 1))
    present = np.zeros(len(catalog), dtype=np.bool_)
    values[places[there]], present[places[there]] = known.cf.values[there], known.cf.present[there]
    header = describe_cf(known.cf.header.width, catalog.digest, int((~present).sum()))
    return FeatureMatrix(header, values, present)


def _refill(matrix: FeatureMatrix, catalog: Catalog, known: TrainedItems) -> FeatureMatrix:
    """Put what stood in for nothing in training where today's catalog has a mean of its own."""
    fill = known.fills.get(matrix.header.kind)
    if fill is None:
        return matrix
    rows = np.flatnonzero(find_filled(matrix, catalog.describe_items()))
    if not len(rows) or (matrix.values[rows] == fill).all():
        return matrix
    values = np.array(matrix.values)
    values[rows] = fill
    return replace(matrix, values=values)
