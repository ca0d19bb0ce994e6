"""The champion put together on tonight's catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illmrec.features.matrix import FeatureMatrix
from illmrec.models.recommender import Recommender
from illmrec.scoring.head import Head
from illmrec.scoring.item_side import digest_features
from illmrec.training.checkpoint import read_tensors
from pipelines.assembly.recommender import load_recommender
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.carried import CarriedModel, load_recommender_on_catalog
from pipelines.registry.trained_items import TRAINED_ITEMS_FILE
from pipelines.registry.version_files import VersionFiles


@dataclass(frozen=True)
class NightModel:
    """A model on the night's catalog.

    Args:
        recommender: reads users.
        carried: how its items are projected; None for a version that does not say which items it was trained on.
    """

    recommender: Recommender
    carried: CarriedModel | None

    @property
    def features(self) -> Mapping[str, FeatureMatrix]:
        """Item features by type."""
        return self.recommender.features

    def project_items(self, head: Head) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, F * d]`` by the exported head."""
        if self.carried is not None:
            return self.carried.project_items(head)
        return head.project_items({kind: self.features[kind].values for kind in head.kinds})

    def digest_items(self, head: Head) -> str:
        """Return a digest of what :meth:`project_items` depends on, the head left out."""
        matrices: dict[str, npt.NDArray[np.generic]] = {kind: self.features[kind].values for kind in head.kinds}
        if self.carried is not None:
            matrices |= {"trained rows": self.carried.trained, "new rows": self.carried.new}
        return digest_features(matrices)


def load_model(shelf: Shelf, files: VersionFiles) -> NightModel:
    """Put a version together on a catalog, which may be another than that of its training.

    The CF rows are always the version's own: those of the project may be of a later training, whose challenger was
    refused. Only a version of an older release, which carries none, is served with the project's.

    Raises:
        ModelError: when it cannot be served there.
    """
    if files.find(TRAINED_ITEMS_FILE) is None:
        layout = shelf.layout
        if read_tensors(files.folder).state["item_digest"] == shelf.catalog.digest:
            # Such a version knows the features of its training alone, which lie where the data set's own do.
            return NightModel(load_recommender(Shelf(Layout(layout.root, layout.dataset)), files.folder), None)
    carried = load_recommender_on_catalog(shelf, files)
    return NightModel(carried.recommender, carried)
