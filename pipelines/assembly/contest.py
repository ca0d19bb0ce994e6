"""What models are compared on: cases, candidates, popularity and pictures of one data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.data.catalog import Catalog
from illmrec.data.histories import Indices, Ragged, Sequences
from illmrec.evaluation.candidate_file import read_candidates
from illmrec.evaluation.protocol import Cases
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.shelf import Shelf

POOLS = {"sampled": "negatives", "popular": "popular_negatives"}
"""Protocol -> table of the split that holds its candidates."""


RANKED_MODEL = "illmrec.tensors_sha256"
"""Metadata of ranks.parquet: which model the ranks are of."""


@dataclass(frozen=True)
class Material:
    """What is evaluated on.

    Args:
        catalog: the items.
        sequences: the split.
        cases: users with targets.
        allowed: ``bool [n_items]``: candidates of the full catalog; None for all.
        popularity: ``int64 [n_items]``: training interactions of each item.
        pictured: ``bool [n_items]``: items with a picture of their own.
    """

    catalog: Catalog
    sequences: Sequences
    cases: Cases
    allowed: npt.NDArray[np.bool_] | None
    popularity: npt.NDArray[np.int64]
    pictured: npt.NDArray[np.bool_]

    @property
    def histories(self) -> list[Indices]:
        """Return the history of each user of the cases."""
        return [self.cases.histories[user] for user in range(len(self.cases))]


def load_material(shelf: Shelf) -> Material:
    """Open the split, the catalog and what is known of its items."""
    catalog, sequences = shelf.catalog, shelf.sequences
    targets = shelf.targets.sort(USER_INDEX, maintain_order=True)
    users, firsts = np.unique(targets[USER_INDEX].to_numpy(), return_index=True)
    offsets = np.append(firsts, targets.height).astype(np.int64)
    histories = sequences.histories("test")
    cases = Cases(users.astype(np.int64), histories.take(users), Ragged(targets[ITEM_INDEX].to_numpy(), offsets))
    allowed = None
    if shelf.split_method == "global_time":  # items that appeared later were no candidates then
        allowed = np.bincount(histories.values, minlength=len(catalog)) > 0
    popularity = np.bincount(sequences.train.values, minlength=len(catalog))
    pictured = shelf.open_features("image")["image"].present
    return Material(catalog, sequences, cases, allowed, popularity, pictured)


def load_pools(
    shelf: Shelf, material: Material, config: EvaluateConfig
) -> tuple[dict[str, Ragged], dict[str, npt.NDArray[np.bool_]], dict[str, int]]:
    """Return candidates by protocol, which users each protocol can rank, and what a file of candidates held."""
    pools = {protocol: shelf.read_candidates(table).take(material.cases.users) for protocol, table in POOLS.items()}
    named = {protocol: np.ones(len(material.cases), dtype=np.bool_) for protocol in ("full", *pools)}
    if config.candidates is None:
        return pools, named, {}
    path = shelf.layout.root / config.candidates
    given = read_candidates(path, material.cases, material.sequences.user_ids, material.catalog)
    return pools | {"candidates": given.pool}, named | {"candidates": given.named}, given.counts
