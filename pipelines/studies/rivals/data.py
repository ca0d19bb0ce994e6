"""What rivals learn from and are ranked on: the data set's own split, the same for all of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Ragged, Sequences
from illmrec.evaluation.metrics import ndcg
from illmrec.evaluation.protocol import Cases, Scorer, rank_cases
from illmrec.features.matrix import FeatureMatrix
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf

Target = Literal["valid", "test"]


@dataclass(frozen=True)
class RivalData:
    """One data set's split.

    Attributes:
        shelf: where it lies.
        catalog: the items.
        sequences: training sequences and validation targets; row = user_index.
        validation: users, their training histories, the validation target of each.
        test: users with test targets, what they took before those, the targets.
        allowed: ``bool [n_items]``: candidates of the full catalog in the test; None for all items.
        digest: of all of the above.
    """

    shelf: Shelf
    catalog: Catalog
    sequences: Sequences
    validation: Cases
    test: Cases
    allowed: npt.NDArray[np.bool_] | None
    digest: str

    @property
    def layout(self) -> Layout:
        """Return where it lies."""
        return self.shelf.layout

    @property
    def train(self) -> Ragged:
        """Return the training sequences, all that any rival learns from."""
        return self.sequences.train

    @property
    def n_items(self) -> int:
        """Return the size of the catalog."""
        return len(self.catalog)

    @property
    def interactions(self) -> int:
        """Return the number of interactions: training, validation and test."""
        return len(self.train.values) + len(self.validation.targets.values) + len(self.test.targets.values)

    @cached_property
    def pictures(self) -> FeatureMatrix:
        """Return the picture features.

        Raises:
            MissingArtifactError: when there are none.
        """
        return self.shelf.open_features("image")["image"]

    def cases(self, target: Target) -> Cases:
        """Return the users who are ranked for; scorers know a user by the position there."""
        return self.validation if target == "valid" else self.test

    def score_validation(self, scorer: Scorer) -> float:
        """Return NDCG@10 of a scorer on the validation targets, full catalog."""
        return float(ndcg(rank_cases(scorer, self.validation).ranks["full"], 10).mean())


def load_rival_data(layout: Layout) -> RivalData:
    """Open the split of a data set.

    Raises:
        MissingArtifactError: when stage ``split`` has not run.
    """
    shelf = Shelf(layout)
    catalog, sequences, method = shelf.catalog, shelf.sequences, shelf.split_method
    path = shelf.require(layout.split / "targets.parquet")
    targets = pl.read_parquet(path).sort(USER_INDEX, maintain_order=True)
    users, firsts = np.unique(targets[USER_INDEX].to_numpy(), return_index=True)
    histories = sequences.histories("test")
    wanted = Ragged(targets[ITEM_INDEX].to_numpy(), np.append(firsts, targets.height).astype(np.int64))
    everyone = np.arange(len(sequences))
    files = [layout.split / "sequences.parquet", path]
    facts = [catalog.digest, method, *(atomic.digest_file(file) for file in files)]
    return RivalData(
        shelf=shelf,
        catalog=catalog,
        sequences=sequences,
        validation=Cases(everyone, sequences.train, Ragged(sequences.valid, np.arange(len(sequences) + 1))),
        test=Cases(users.astype(np.int64), histories.take(users), wanted),
        # In a split by time, items that appeared later were no candidates then.
        allowed=np.bincount(histories.values, minlength=len(catalog)) > 0 if method == "global_time" else None,
        digest=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16],
    )
