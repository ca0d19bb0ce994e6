"""What a night is made with: the champion put together on the catalog, and a digest of all that goes in."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from illmrec import atomic
from illmrec.data.catalog import Catalog
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.recommender import Recommender
from illmrec.scoring.head import Head
from illmrec.scoring.item_side import digest_features
from illmrec.scoring.offer import Offer
from pipelines.assembly.recommender import load_recommender
from pipelines.nights.audience import Audience
from pipelines.parameters.operation import RecommendConfig
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.registry.carried import CarriedModel, load_recommender_on_catalog
from pipelines.registry.trained_items import TRAINED_ITEMS_FILE
from pipelines.registry.version_files import VersionFiles

ROWS_DEPEND_ON = ("k", "partitions", "formats", "pass_tokens", "backbone_precision", "candidates", "rerank", "search",
                  "coarse_from_items", "coarse_factor", "score_block_users", "score_block_items")  # fmt: skip
"""Parameters that decide the rows or the files; bounds of the audit, retention and engine do not."""


@dataclass(frozen=True)
class Serving:
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


def load_serving(layout: Layout, files: VersionFiles, catalog: Catalog) -> Serving:
    """Put the model together on a catalog, which may be another than that of its training.

    The CF rows are always the version's own: those of the project may be of a later training, whose challenger was
    refused. Only a version of an older release, which carries none, is served with the project's.

    Raises:
        ModelError: when it cannot be served there.
    """
    state = json.loads((files.folder / "state.json").read_text(encoding="utf-8"))["state"]
    if files.find(TRAINED_ITEMS_FILE) is None and state["item_digest"] == catalog.digest:
        # Such a version knows the features of its training alone, which lie where the data set's own do.
        return Serving(load_recommender(Shelf(Layout(layout.root, layout.dataset)), files.folder), None)
    carried = load_recommender_on_catalog(Shelf(layout), files)
    return Serving(carried.recommender, carried)


def identify_night(
    layout: Layout,
    files: VersionFiles,
    config: RecommendConfig,
    catalog: Catalog,
    audience: Audience,
    offer: Offer,
    day: datetime.date,
) -> str:
    """Return an id that is a function of all inputs, so that the same night gives the same run."""
    settings = config.model_dump(mode="json")
    features = {kind: layout.features(kind) for kind in ("image", "cf", "text")}
    facts: dict[str, Any] = {
        "model": [files.version.name, files.version.number, dict(files.version.tags)],
        "backbone": Shelf(layout).read_encoder("backbone")["revision"],
        "settings": {name: settings[name] for name in ROWS_DEPEND_ON},
        "items": hashlib.sha256(catalog.items.write_ndjson().encode()).hexdigest(),
        "features": {kind: atomic.digest_folder(path) for kind, path in features.items() if path.is_dir()},
        "summaries": atomic.digest_folder(layout.summaries) if layout.summaries.is_dir() else None,
        "day": day.isoformat(),
        "users": hashlib.sha256("\n".join(audience.user_ids).encode()).hexdigest(),
        "histories": hashlib.sha256(
            audience.histories.values.tobytes() + audience.histories.offsets.tobytes()
        ).hexdigest(),
    }
    if not offer.whole:
        facts["offer"] = hashlib.sha256(offer.allowed.tobytes()).hexdigest()
    if config.candidates == "sasrec":
        facts["sasrec"] = atomic.digest_folder(layout.cf_model)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
