"""What models are compared on: cases, candidates, popularity and pictures of one data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from illmrec.columns import ITEM_INDEX, NEGATIVES, TARGETS, USER_INDEX
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.artifacts import read_object, read_table
from pipelines.project.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from illmrec.data.catalog import Catalog
    from illmrec.data.histories import Indices, Ragged, Sequences
    from illmrec.evaluation.protocol import Cases


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


def load_material(layout: Layout) -> Material:
    """Open the split, the catalog and what is known of its items."""
    import numpy as np

    from illmrec.data.histories import Ragged
    from illmrec.evaluation.protocol import Cases
    from pipelines.assembly.recommender import load_features
    from pipelines.assembly.tables import load_catalog, load_sequences

    catalog, sequences = load_catalog(layout), load_sequences(layout)
    remedy = f"split --dataset {layout.dataset}"
    targets = read_table(layout.split / "targets.parquet", remedy, TARGETS).sort(USER_INDEX, maintain_order=True)
    users, firsts = np.unique(targets[USER_INDEX].to_numpy(), return_index=True)
    offsets = np.append(firsts, targets.height).astype(np.int64)
    histories = sequences.histories("test")
    cases = Cases(users.astype(np.int64), histories.take(users), Ragged(targets[ITEM_INDEX].to_numpy(), offsets))
    summary = read_object(layout.split / "summary.json", remedy, ("method",))
    allowed = None
    if summary["method"] == "global_time":  # items that appeared later were no candidates then
        allowed = np.bincount(histories.values, minlength=len(catalog)) > 0
    popularity = np.bincount(sequences.train.values, minlength=len(catalog))
    pictured = load_features(layout, catalog, ("image",))["image"].present
    return Material(catalog, sequences, cases, allowed, popularity, pictured)


def load_pools(
    layout: Layout, material: Material, config: EvaluateConfig
) -> tuple[dict[str, Ragged], dict[str, npt.NDArray[np.bool_]], dict[str, int]]:
    """Return candidates by protocol, which users each protocol can rank, and what a file of candidates held."""
    import numpy as np

    from illmrec.data.histories import ragged_from_column
    from illmrec.evaluation.candidate_file import read_candidates

    remedy = f"split --dataset {layout.dataset}"
    pools = {
        protocol: ragged_from_column(read_table(layout.split / f"{table}.parquet", remedy, NEGATIVES)["negatives"])
        for protocol, table in POOLS.items()
    }
    pools = {protocol: pool.take(material.cases.users) for protocol, pool in pools.items()}
    named = {protocol: np.ones(len(material.cases), dtype=np.bool_) for protocol in ("full", *pools)}
    if config.candidates is None:
        return pools, named, {}
    path = layout.root / config.candidates
    given = read_candidates(path, material.cases, material.sequences.user_ids, material.catalog)
    return pools | {"candidates": given.pool}, named | {"candidates": given.named}, given.counts
